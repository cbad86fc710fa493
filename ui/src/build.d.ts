/** Whether this build has the page of the design system: set by vite.config.ts. */
declare const __DESIGN__: boolean;
