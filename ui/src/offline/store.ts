import { urlOf } from "../base.ts";

/**
 * A shelf of this device for what was last seen: nothing that the page did not show, of one user, bounded, and gone with
 * the sign-out. Where the browser keeps nothing (private windows), all of this does nothing.
 */
const NAME = `kaged ${urlOf("").pathname}`;
const SHELF = "kept";

let opened: Promise<IDBDatabase | null> | null = null;

function open(): Promise<IDBDatabase | null> {
  opened ??= new Promise((done) => {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(SHELF);
      request.onsuccess = () => done(request.result);
      request.onerror = () => done(null);
      request.onblocked = () => done(null);
    } catch {
      done(null);
    }
  });
  return opened;
}

async function run<T>(mode: IDBTransactionMode, work: (shelf: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
  const database = await open();
  if (database === null) return null;
  return new Promise((done) => {
    try {
      const request = work(database.transaction(SHELF, mode).objectStore(SHELF));
      request.onsuccess = () => done(request.result);
      request.onerror = () => done(null);
    } catch {
      done(null);
    }
  });
}

export async function keep(key: string, value: unknown): Promise<void> {
  await run("readwrite", (shelf) => shelf.put(value, key));
}

export async function kept<T>(key: string): Promise<T | null> {
  return (await run("readonly", (shelf) => shelf.get(key) as IDBRequest<T | undefined>)) ?? null;
}

export async function keptKeys(): Promise<string[]> {
  return ((await run("readonly", (shelf) => shelf.getAllKeys())) ?? []).map(String);
}

export async function drop(key: string): Promise<void> {
  await run("readwrite", (shelf) => shelf.delete(key));
}

export async function dropAll(): Promise<void> {
  await run("readwrite", (shelf) => shelf.clear());
}
