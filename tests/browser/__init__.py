"""Pages of a test shop in headless Chromium, with the tracker in them and the whole service behind."""
