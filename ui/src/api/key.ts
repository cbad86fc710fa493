/**
 * The per-browser key of loopback mode. `/launch` hands it over in the fragment (which no server sees); it is
 * kept in local storage, which unlike a cookie is bound to the port. Behind a sidecar there is none.
 */

const STORAGE = "kaged.client";

export function adoptKeyFromFragment(): void {
  const match = /^#key=([A-Za-z0-9_-]{16,256})$/.exec(window.location.hash);
  if (!match?.[1]) return;
  localStorage.setItem(STORAGE, match[1]);
  history.replaceState(null, "", window.location.pathname + window.location.search);
}

export function clientKey(): string | null {
  return localStorage.getItem(STORAGE);
}

/** The subprotocols of a socket: the wire's name first, then the key where there is one. */
export function subprotocols(wire: string): string[] {
  const key = clientKey();
  return key === null ? [wire] : [wire, `kaged.client.${key}`];
}
