/// <reference lib="webworker" />
import { type Message, noteOf } from "./note.ts";

declare const self: ServiceWorkerGlobalScope;
/** The files of this build and what they hash to: the build fills it in. */
declare const __FILES__: readonly string[];
declare const __REVISION__: string;

/** The shell is what the daemon answers at the root, and for every place below. */
const SHELL = "";
/** What a proxy in front answers for us; beyond this the kept shell is faster. */
const PATIENCE_MS = 4000;
const scope = new URL(self.registration.scope);
const PREFIX = `kaged ${scope.pathname} `;
const CACHE = PREFIX + __REVISION__;
const files = new Set(__FILES__);

const at = (path: string): string => new URL(path, scope).href;

/** From an older build's cache when the name says that it is the same, else from the daemon itself. */
async function fetched(path: string): Promise<Response> {
  const hashed = path.includes("/");
  const held = hashed ? await caches.match(at(path)) : undefined;
  const response = held ?? (await fetch(at(path), { cache: hashed ? "default" : "no-cache" }));
  // A redirect is a sidecar's sign-in, never a file.
  if (!response.ok || response.redirected) throw new Error(`${path}: ${response.status}`);
  return response;
}

/** The shell with links that hold at every depth, which the daemon sets for each address. */
async function shell(): Promise<Response> {
  const text = await (await fetched(SHELL)).text();
  const body = text.replaceAll(/"(?:\.\.?\/)+(?=assets\/|manifest|icon)/g, `"${scope.pathname}`);
  return new Response(body, { headers: { "Content-Type": "text/html; charset=utf-8" } });
}

async function install(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.put(at(SHELL), await shell());
  await Promise.all(__FILES__.map(async (path) => cache.put(at(path), await fetched(path))));
}

async function tidy(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.slice(0, PREFIX.length) === PREFIX && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function keptShell(): Promise<Response> {
  return (await (await caches.open(CACHE)).match(at(SHELL))) ?? Response.error();
}

/** From the daemon, or its proxy, as long as one of them is there: they know who is signed in. */
async function page(request: Request): Promise<Response> {
  const late = new Promise<null>((done) => setTimeout(() => done(null), PATIENCE_MS));
  const response = await Promise.race([fetch(request).catch(() => null), late]);
  return response === null || response.status >= 500 ? keptShell() : response;
}

async function file(request: Request, path: string): Promise<Response> {
  return (await (await caches.open(CACHE)).match(at(path))) ?? fetch(request);
}

async function tell(message: Message): Promise<void> {
  const { title, body, tag, quiet, url } = noteOf(message, new URL(self.location.href).searchParams.get("lang") ?? "en");
  const windows = await self.clients.matchAll({ type: "window" });
  if (quiet && windows.some((client) => client.visibilityState === "visible")) {
    for (const note of await self.registration.getNotifications({ tag })) note.close();
    return;
  }
  // Browsers take the permission from pages that hear and show nothing: what was answered is replaced, quietly.
  const icon = at("icon-192.png");
  await self.registration.showNotification(title, { body, tag, icon, badge: icon, silent: quiet, data: { url } });
}

/** In the window that is open already, which goes there without losing what was typed; else in a new one. */
async function open(path: string): Promise<void> {
  const url = at(path);
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const client = windows.find((each) => each.focused) ?? windows.find((each) => each.url.slice(0, scope.href.length) === scope.href);
  if (client === undefined) {
    await self.clients.openWindow(url);
    return;
  }
  client.postMessage({ open: url });
  await client.focus();
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(tidy()));
self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.href.slice(0, scope.href.length) !== scope.href) return;
  const path = url.href.slice(scope.href.length).split(/[?#]/, 1)[0] ?? "";
  if (/^(api|launch|healthz|readyz|metrics)(\/|$)/.test(path)) return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (files.has(path)) event.respondWith(file(request, path));
});

self.addEventListener("push", (event) => {
  if (event.data !== null) event.waitUntil(tell(event.data.json() as Message));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { url } = event.notification.data as { url: string };
  event.waitUntil(open(url));
});
