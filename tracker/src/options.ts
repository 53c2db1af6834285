/** What the script tag says, and what the browser says of its visitor. */

const script = document.currentScript as HTMLScriptElement;

/** Its `data-…` attributes. */
export const options = script.dataset;

/** Where events go: beside the script, so a path of the shop's own that leads to us works too. */
export const endpoint = new URL("v1/events?key=" + options.key, script.src);

/** Global Privacy Control always counts, Do Not Track where the shop says so: nothing is kept then, nor sent. */
export const isOptedOut =
  (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl ||
  ("dnt" in options && navigator.doNotTrack === "1");
