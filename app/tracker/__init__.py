"""The script that a storefront's pages load. It is written in tracker/ and built to t.js here."""
