// A shop's server with @segment/analytics-node. Arguments: address and key.
"use strict";

const { Analytics } = require("@segment/analytics-node");
const { visitor: anonymousId, customer: userId, product, order } = require("./shop.json");

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host });

analytics.page({ anonymousId, name: "Home" });
analytics.page({ anonymousId, name: product.name });
analytics.track({ anonymousId, event: "Product Viewed", properties: product });
analytics.track({ anonymousId, event: "Product Added", properties: product });
analytics.page({ anonymousId, name: "Checkout" });
analytics.track({ anonymousId, event: "Checkout Started", properties: { products: [product] } });
analytics.identify({ anonymousId, userId, traits: { plan: "club" } });
analytics.page({ anonymousId, userId, name: "Thanks" });
analytics.track({ userId, event: "Order Completed", properties: { ...order, products: [product] } });
analytics.closeAndFlush();
