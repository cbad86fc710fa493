import { type RefObject, useEffect, useRef, useState } from "react";
import { useOnLeave } from "../state/router.ts";

/** The time, once a second while `running`; for clocks that tick. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}

/** What a value is now, for those who were begun earlier. */
export function useLatest<T>(value: T): RefObject<T> {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}

function useWindow<K extends keyof WindowEventMap>(name: K, hear: (event: WindowEventMap[K]) => void): void {
  const latest = useLatest(hear);
  useEffect(() => {
    const listen = (event: WindowEventMap[K]): void => latest.current(event);
    window.addEventListener(name, listen);
    return () => window.removeEventListener(name, listen);
  }, [name, latest]);
}

/** Keys of the whole page; the handler says whether it took the key. */
export function useKeys(handle: (event: KeyboardEvent) => boolean): void {
  useWindow("keydown", (event) => {
    if (!event.defaultPrevented && handle(event)) event.preventDefault();
  });
}

/** The reader comes back to the page: what it shows may have changed meanwhile. */
export function useOnReturn(look: () => unknown): void {
  useWindow("focus", () => void look());
}

/** A dialog of the browser's own, open as long as it is there; it gives the focus back to whoever opened it. */
export function useModal(onClose: () => void): RefObject<HTMLDialogElement | null> {
  const dialog = useRef<HTMLDialogElement>(null);
  const [opener] = useState(() => document.activeElement);
  useOnLeave(onClose);
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
    // A dialog that React takes away gives the focus back to nobody.
    return () => {
      if (opener instanceof HTMLElement && document.activeElement === document.body) opener.focus();
    };
  }, [opener]);
  return dialog;
}

/** Whether keys go into a text just now. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.target;
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable], .xterm") !== null;
}
