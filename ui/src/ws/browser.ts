import { askWhyRefused } from "../api/http.ts";
import { subprotocols } from "../api/key.ts";
import { socketUrlOf } from "../base.ts";
import { watchClock } from "./clock.ts";
import { Socket, type Surroundings, type Wire } from "./socket.ts";

/** Before the next paint; a hidden page never paints, so there a short timer stands in. */
export function beforePaint(run: () => void): void {
  if (document.visibilityState === "hidden") return void setTimeout(run, 100);
  let ran = false;
  const once = (): void => {
    if (!ran) run();
    ran = true;
  };
  requestAnimationFrame(once);
  setTimeout(once, 250);
}

const browser: Surroundings = {
  open: () => new WebSocket(socketUrlOf("api/v1/ws"), subprotocols("kaged.v1")) as Wire,
  later: (run, ms) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  beforePaint,
  random: Math.random,
  refused: askWhyRefused,
};

/** The console's socket. It starts once this browser is known to be signed in. */
export const socket = new Socket(browser);

const doubt = (): void => socket.nudge();
for (const event of ["online", "pageshow", "resume"]) window.addEventListener(event, doubt);
(navigator as { connection?: EventTarget }).connection?.addEventListener("change", doubt);
watchClock(doubt);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") socket.nudge();
});
