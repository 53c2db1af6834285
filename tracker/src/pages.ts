/** Page views, and how long and how far each page was looked at. */

import { page, track, URL_MAX_CHARACTERS } from "./events";
import { options } from "./options";
import { sendBeacon } from "./sending";

const ENGAGED_MIN_MS = 99; // less is no look; leaving a page tells us twice, a moment apart

let isNotFound = "notFound" in options;
let engagedMs = 0;
let engagedSince = 0; // 0: nobody is looking
let scrollRatio = 0;

/** Without an anchor, but with the routes that some shops write as one (`#/cart`). */
const address = () => location.href.replace(/#(?!!?\/).*/, "").slice(0, URL_MAX_CHARACTERS);

export const viewPage = (): void => {
  page.url = address();
  scrollRatio = 0;
  look();
  track("page_viewed", isNotFound ? { is_not_found: true } : {});
};

/** The address may have changed without a new document. */
export const followAddress = (): void => {
  if (address() === page.url) return;
  reportEngagement();
  page.referrer = page.url;
  isNotFound = false;
  viewPage();
};

/** Adds up the time in which the page is visible and has the focus. */
export const look = (): void => {
  const now = performance.now();
  engagedMs += engagedSince && now - engagedSince;
  engagedSince = document.hidden || !document.hasFocus() ? 0 : now;
};

export const measureScroll = (): void => {
  scrollRatio = Math.max(scrollRatio, Math.min(1, (scrollY + innerHeight) / document.documentElement.scrollHeight));
};

/** Nobody says whether the page will be shown again, so this may be the last word about it. */
export const leave = (): void => {
  reportEngagement();
  sendBeacon();
};

/** Since the last time: the times of one page view are to be added up. */
const reportEngagement = (): void => {
  look();
  measureScroll();
  if (engagedMs > ENGAGED_MIN_MS) track("page_engaged", { engaged_ms: Math.round(engagedMs), scroll_ratio: +scrollRatio.toFixed(2) });
  engagedMs = 0;
};
