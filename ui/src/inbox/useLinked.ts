import { useEffect } from "react";
import { t } from "../i18n/index.ts";
import { toast } from "../state/toasts.ts";

/** Rows are drawn in steps; a card that is not there by then is none that the session shows. */
const PATIENCE_MS = 3000;
const STEP_MS = 50;

/** Brings the card of a question that was linked to into view, and the keyboard to it. */
export function useLinked(attention: string | undefined, ready: boolean): void {
  useEffect(() => {
    if (attention === undefined || !ready) return undefined;
    const until = Date.now() + PATIENCE_MS;
    const look = (): void => {
      const card = document.querySelector<HTMLElement>(`[data-attention="${CSS.escape(attention)}"]`);
      if (card !== null) {
        clearInterval(timer);
        card.tabIndex = -1;
        card.scrollIntoView({ block: "center" });
        card.focus({ preventScroll: true });
      } else if (Date.now() > until) {
        clearInterval(timer);
        toast(t("inbox:gone"));
      }
    };
    const timer = setInterval(look, STEP_MS);
    return () => clearInterval(timer);
  }, [attention, ready]);
}
