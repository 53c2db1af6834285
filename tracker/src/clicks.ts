/** Events that the page's markup names, and links that lead out of the shop. */

import { track } from "./events";

export const followClick = (click: Event): void => {
  const target = click.target as Element;
  const marked = target.closest("[data-footfall-event]");
  if (marked) trackMarked(marked);
  const link = target.closest("a");
  if (link?.host && link.host !== location.host) track("link_clicked", { link_url: link.origin + link.pathname });
};

/** From `data-footfall-order-id="7"` to `order_id: "7"`; amounts become numbers. */
const trackMarked = (marked: Element): void => {
  const found: Record<string, unknown> = {};
  for (const { name, value } of marked.attributes) {
    const words = name.split("data-footfall-")[1];
    if (words) found[words.replace(/-/g, "_")] = /price|value|quantity/.test(words) ? +value : value;
  }
  const { event, product: product_id, ...properties } = found;
  track(event as string, { product_id, ...properties });
};
