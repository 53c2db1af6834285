// A shop's server with posthog-node. Arguments: address and key.
"use strict";

const { PostHog } = require("posthog-node");
const { visitor, customer, product, order } = require("./shop.json");

const [host, key] = process.argv.slice(2);
const posthog = new PostHog(key, { host });

// Who has not logged in is nobody's profile.
const asVisitor = (event, properties) =>
  posthog.capture({ distinctId: visitor, event, properties: { ...properties, $process_person_profile: false } });
const asCustomer = (event, properties) => posthog.capture({ distinctId: customer, event, properties });

asVisitor("$pageview", { $current_url: "https://shop.example/" });
asVisitor("$pageview", { $current_url: "https://shop.example/teapot" });
asVisitor("Product Viewed", product);
asVisitor("Product Added", product);
asVisitor("$pageview", { $current_url: "https://shop.example/checkout" });
asVisitor("Checkout Started", { products: [product] });
posthog.identify({ distinctId: customer, properties: { plan: "club", $anon_distinct_id: visitor } });
asCustomer("$pageview", { $current_url: "https://shop.example/thanks" });
asCustomer("Order Completed", { ...order, products: [product] });
posthog.shutdown();
