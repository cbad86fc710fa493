import { Store } from "../state/store.ts";
import { socket } from "../ws/browser.ts";

/** Since when what is shown is not up to date any more; null while the line is up. */
export const away = new Store<number | null>(null);

/** A lost line shorter than this is nobody's business. */
const GRACE_MS = 5000;

export function watchLine(): void {
  let lost: number | null = null;
  socket.watchStatus((status) => {
    if (status === "open") {
      lost = null;
      away.set(null);
      return;
    }
    if (lost !== null) return;
    const since = Date.now();
    lost = since;
    setTimeout(() => {
      if (lost === since) away.set((known) => known ?? since);
    }, GRACE_MS);
  });
}
