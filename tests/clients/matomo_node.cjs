// A shop's server with matomo-tracker. Arguments: address and key.
"use strict";

const MatomoTracker = require("matomo-tracker");
const { customer: uid, product, order } = require("./shop.json");

const [host, token_auth] = process.argv.slice(2);
const matomo = new MatomoTracker(7, `${host}/matomo.php`);
const _id = "0123456789abcdef";
const { product_id, name, category, price, quantity } = product;
const hit = (path, told) => ({ url: `https://shop.example${path}`, _id, ...told });
const event = (path, e_c, e_a) => hit(path, { e_c, e_a });

const hits = [
  hit("/", { action_name: "Home" }),
  hit("/teapot", { action_name: name }),
  hit("/teapot", { action_name: name, _pks: product_id, _pkn: name, _pkc: category, _pkp: price }),
  event("/teapot", "Product", "Added"),
  hit("/checkout", { action_name: "Checkout" }),
  event("/checkout", "Checkout", "Started"),
  hit("/thanks", { action_name: "Thanks", uid }),
  hit("/thanks", {
    uid,
    idgoal: 0,
    ec_id: order.order_id,
    revenue: order.total,
    ec_items: JSON.stringify([[product_id, name, category, price, quantity]]),
  }),
];
// A server's events are told from their order in time.
const now = Date.now() / 1000;
matomo.trackBulk(hits.map((each, place) => ({ ...each, token_auth, cdt: now - hits.length + place })), () => {});
