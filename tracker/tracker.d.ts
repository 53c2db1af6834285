/** What the script at `/t.js` gives to a page: copy this file into your shop, or name it in `types`. */

/** Values of your own: anything that JSON can hold. */
type FootfallProperties = Record<string, unknown>;

interface Footfall {
  /** Something happened: `footfall("product_added", { product_id: "hat-1", price: 19.5 })`. */
  (event: string, properties?: FootfallProperties): void;
  /** This visitor is that customer, from now on and back in time; `null` where nobody is logged in. */
  identify(customer: string | number | null, properties?: FootfallProperties): void;
  /** After a logout: who uses this browser next is a new visitor. */
  reset(): void;
  /** `true`: send what has waited, and what comes. `false`: stop, and forget all that is kept in this browser. */
  consent(isGiven: boolean): void;
  /** Send now what is kept, without waiting for more. */
  flush(): void;
}

interface Window {
  footfall: Footfall;
}

declare const footfall: Footfall;
