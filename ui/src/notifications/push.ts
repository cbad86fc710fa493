import { api } from "../api/client.ts";
import { endPush, pushId } from "../offline/device.ts";
import { t } from "../i18n/index.ts";

export type PushState = "unsupported" | "insecure" | "install" | "denied" | "off" | "on";

/** What decides whether a device can be told at all. */
export interface Surroundings {
  secure: boolean;
  push: boolean;
  /** An iPhone or iPad outside of an app on the home screen, where there is no push. */
  appleTab: boolean;
  permission: NotificationPermission | null;
  subscribed: boolean;
}

/** Pure. */
export function stateOf(it: Surroundings): PushState {
  if (!it.secure) return "insecure";
  if (it.appleTab) return "install";
  if (!it.push || it.permission === null) return "unsupported";
  if (it.permission === "denied") return "denied";
  return it.subscribed && it.permission === "granted" ? "on" : "off";
}

async function registered(): Promise<ServiceWorkerRegistration | null> {
  if (!("serviceWorker" in navigator)) return null;
  return (await navigator.serviceWorker.getRegistration()) ?? null;
}

export async function pushState(): Promise<PushState> {
  const registration = await registered();
  const apple = /iphone|ipad/i.test(navigator.userAgent) || (/mac/i.test(navigator.userAgent) && navigator.maxTouchPoints > 1);
  return stateOf({
    secure: window.isSecureContext,
    push: registration !== null && "PushManager" in window,
    appleTab: apple && !window.matchMedia("(display-mode: standalone)").matches,
    permission: "Notification" in window ? Notification.permission : null,
    subscribed: pushId.get() !== null && (await registration?.pushManager.getSubscription()) !== null,
  });
}

function sameKey(subscription: PushSubscription, key: string): boolean {
  const held = new Uint8Array(subscription.options.applicationServerKey ?? new ArrayBuffer(0));
  const text = btoa(String.fromCharCode(...held)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return text === key;
}

function label(): string {
  const data = (navigator as { userAgentData?: { platform?: string; brands?: { brand: string }[] } }).userAgentData;
  const brand = data?.brands?.find(({ brand }) => !/not/i.test(brand))?.brand;
  return [brand ?? t("notifications:this_browser"), data?.platform].filter(Boolean).join(", ");
}

/** Subscribes this browser and tells the daemon; both again when the daemon has another key now. */
async function subscribe(): Promise<void> {
  const registration = await registered();
  const channel = (await api.channels()).items.find(({ id }) => id === "web-push");
  if (registration === null || channel?.key === undefined) return;
  let subscription = await registration.pushManager.getSubscription();
  if (subscription !== null && !sameKey(subscription, channel.key)) {
    await subscription.unsubscribe();
    subscription = null;
  }
  subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: channel.key });
  const { endpoint, keys } = subscription.toJSON();
  const { p256dh = "", auth = "" } = keys ?? {};
  pushId.set((await api.subscribe({ endpoint: endpoint ?? "", p256dh, auth, label: label() })).id);
}

/** Asks for the permission, which browsers grant only to a press. */
export async function turnOn(): Promise<PushState> {
  if ((await Notification.requestPermission()) === "granted") await subscribe();
  return pushState();
}

export async function turnOff(): Promise<PushState> {
  await endPush();
  return pushState();
}

export async function sendTest(): Promise<void> {
  const id = pushId.get();
  if (id !== null) await api.testPush(id);
}

/** At a start: what the daemon or the browser has lost is made good. */
export async function refreshPush(): Promise<void> {
  if (pushId.get() !== null && (await pushState()) !== "denied") await subscribe();
}
