import { urlOf } from "../base.ts";
import { language } from "../i18n/index.ts";
import { go, parse } from "../state/router.ts";
import { newer } from "./version.ts";

const LOOK_EVERY_MS = 3_600_000;

/** A worker that has been fetched and waits for its turn is a new version. */
function watchFor(registration: ServiceWorkerRegistration): void {
  const ready = (): void => {
    // Without one in charge it is the first: there was no older version.
    if (registration.waiting !== null && navigator.serviceWorker.controller !== null) newer.set(true);
  };
  ready();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", ready));
  setInterval(() => void registration.update().catch(() => {}), LOOK_EVERY_MS);
}

/** Opens the place that a notification names, without loading the page again. */
function opened(event: MessageEvent<{ open?: string }>): void {
  const root = urlOf("").href;
  const { open } = event.data;
  if (open?.slice(0, root.length) === root) go(parse(`/${open.slice(root.length)}`));
}

/** The part of the console that stays when no page is open. Browsers have it over https and on this machine only. */
export async function startWorker(): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  navigator.serviceWorker.addEventListener("message", opened);
  try {
    watchFor(await navigator.serviceWorker.register(urlOf(`sw.js?lang=${language()}`)));
  } catch {
    // Blocked by the reader's settings: the console works without.
  }
}
