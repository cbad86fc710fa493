const ALLOWED = new Set(["http:", "https:", "mailto:"]);

/** The address of a link out of model text when it is one that may be followed, else null. */
export function safeHref(href: string): string | null {
  try {
    const url = new URL(href);
    return ALLOWED.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
