import { clear, createStore, del, get, keys, set, type UseStore } from "idb-keyval";
import { urlOf } from "../base.ts";

const NAME = `kaged ${urlOf("").pathname}`;

let shelf: UseStore | null = null;

/**
 * On a shelf of this device for what was last seen: nothing that the page did not show, of one user, bounded, and gone
 * with the sign-out. Where the browser keeps nothing (private windows), all of this does nothing.
 */
async function there<T>(work: (shelf: UseStore) => Promise<T>): Promise<T | null> {
  try {
    shelf ??= createStore(NAME, "kept");
    return await work(shelf);
  } catch {
    return null;
  }
}

export async function keep(key: string, value: unknown): Promise<void> {
  await there((on) => set(key, value, on));
}

export async function kept<T>(key: string): Promise<T | null> {
  return (await there((on) => get<T>(key, on))) ?? null;
}

export async function keptKeys(): Promise<string[]> {
  return ((await there(keys)) ?? []).map(String);
}

export async function drop(key: string): Promise<void> {
  await there((on) => del(key, on));
}

export async function dropAll(): Promise<void> {
  await there(clear);
}
