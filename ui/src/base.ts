/**
 * Where the console lives. The daemon serves the shell at every depth and points its tags at `assets/`; this
 * module is in that folder, so its own address tells the root, below whatever path a proxy has put us.
 */
const root = new URL(/* @vite-ignore */ "../", import.meta.url);

/** An address below the console's root, e.g. `api/v1/me`. */
export function urlOf(path: string): URL {
  return new URL(path.replace(/^\//, ""), root);
}

export function socketUrlOf(path: string): string {
  const url = urlOf(path);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** The part of an address below the console's root with what it asks, always with a leading slash. */
export function routePath(location: { pathname: string; search?: string }): string {
  const path = location.pathname.startsWith(root.pathname)
    ? location.pathname.slice(root.pathname.length)
    : location.pathname;
  return `/${path.replace(/^\/+/, "")}${location.search ?? ""}`;
}
