import { api } from "../api/client.ts";
import { dropAll } from "./store.ts";

const KEY = "kaged.push";

/** The subscription's id at the daemon, while this browser is told. */
export const pushId = {
  get: (): string | null => localStorage.getItem(KEY),
  set: (id: string | null): void => (id === null ? localStorage.removeItem(KEY) : localStorage.setItem(KEY, id)),
};

/** This device is told nothing more. */
export async function endPush(): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration();
  const subscription = await registration?.pushManager?.getSubscription();
  const id = pushId.get();
  pushId.set(null);
  await Promise.allSettled([subscription?.unsubscribe(), id === null ? null : api.unsubscribe(id)]);
}

/** On the way out: nothing of this user stays behind. */
export async function forgetDevice(): Promise<void> {
  await Promise.allSettled([dropAll(), endPush()]);
}
