// A shop's server with @jitsu/js, for one visitor. Arguments: address and key.
"use strict";

const { jitsuAnalytics } = require("@jitsu/js");
const { customer, product, order } = require("./shop.json");

const [host, writeKey] = process.argv.slice(2);
// It takes no key without a colon, and our server keys have none.
const fetch = (url, options) =>
  globalThis.fetch(url, { ...options, headers: { ...options.headers, "X-Write-Key": writeKey } });
const jitsu = jitsuAnalytics({ host, writeKey: "shop:server", fetch });

(async () => {
  await jitsu.page({ name: "Home" });
  await jitsu.page({ name: product.name });
  await jitsu.track("Product Viewed", product);
  await jitsu.track("Product Added", product);
  await jitsu.page({ name: "Checkout" });
  await jitsu.track("Checkout Started", { products: [product] });
  await jitsu.identify(customer, { plan: "club" });
  await jitsu.page({ name: "Thanks" });
  await jitsu.track("Order Completed", { ...order, products: [product] });
})();
