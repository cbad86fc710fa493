import { api } from "../api/client.ts";
import { reenter } from "../state/reenter.ts";
import { Store } from "../state/store.ts";
import { socket } from "../ws/browser.ts";

/** The API that this page speaks. */
const SPOKEN = "v1";

/** Another version of kaged is there; `null` while this page is of the newest. */
export const newer = new Store<boolean>(false);

let mine: string | null = null;

/** Asks the daemon, whose word holds also where the browser has no service worker. */
async function look(): Promise<void> {
  const { ui, api: spoken } = await api.versions();
  // What it says cannot be understood: the page goes at once, with every draft kept.
  if (spoken !== SPOKEN && reenter()) return;
  if (mine !== null && ui !== mine) newer.set(true);
  mine ??= ui;
}

export function watchVersion(): void {
  socket.watchStatus((status) => {
    if (status === "open") look().catch(() => {});
  });
}

const PATIENCE_MS = 10_000;

/** Once a worker that is being fetched stands ready, or will not. */
function settled(worker: ServiceWorker): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, PATIENCE_MS);
    worker.addEventListener("statechange", () => done());
  });
}

/** To the new version: the waiting worker takes over first, so that the page and its files are of one build. */
export async function toNewVersion(reload: () => void = () => window.location.reload()): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration();
  await registration?.update().catch(() => {});
  if (registration?.installing) await settled(registration.installing);
  const waiting = registration?.waiting;
  if (!waiting) return reload();
  navigator.serviceWorker.addEventListener("controllerchange", reload, { once: true });
  waiting.postMessage("take over");
}
