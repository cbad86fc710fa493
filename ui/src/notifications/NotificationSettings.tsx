import { type ReactNode, useEffect, useState } from "react";
import { sentence } from "../api/http.ts";
import { Button } from "../design/Button.tsx";
import { Notice } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { toast } from "../state/toasts.ts";
import "./notifications.css";
import { type PushState, pushState, sendTest, turnOff, turnOn } from "./push.ts";

/** One switch: whether this device is told while no page is open, and why it cannot be where that is so. */
export function NotificationSettings(): ReactNode {
  const [state, setState] = useState<PushState | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const look = (): void => void pushState().then(setState);
    look();
    // The permission is changed in the browser's own settings.
    window.addEventListener("focus", look);
    return () => window.removeEventListener("focus", look);
  }, []);
  const act = (work: () => Promise<PushState | void>): void => {
    setBusy(true);
    setProblem(null);
    work()
      .then((next) => next && setState(next))
      .catch((error: unknown) => setProblem(t("notifications:refused", { why: sentence(error) })))
      .finally(() => setBusy(false));
  };
  const able = state === "on" || state === "off";
  return (
    <section className="card push" aria-label={t("notifications:title")} data-testid="push-settings" data-state={state}>
      <div className="push-line">
        <div className="grow">
          <h2 id="push-title">{t("notifications:title")}</h2>
          <p className="muted">{t("notifications:words")}</p>
        </div>
        <button
          type="button"
          role="switch"
          className="switch"
          data-testid="push-switch"
          aria-checked={state === "on"}
          aria-busy={busy}
          aria-label={t("notifications:switch")}
          aria-describedby="push-state"
          disabled={!able}
          onClick={() => busy || act(state === "on" ? turnOff : turnOn)}
        >
          <span />
        </button>
      </div>
      <div className="push-line">
        <p id="push-state" className="grow" role="status" data-testid="push-state">
          {state === null ? "" : t(`notifications:state.${state}`)}
        </p>
        {state === "on" ? (
          <Button data-testid="push-test" busy={busy} onClick={() => act(() => sendTest().then(() => toast(t("notifications:tested"))))}>
            {t("notifications:test")}
          </Button>
        ) : null}
      </div>
      {problem === null ? null : <Notice tone="bad">{problem}</Notice>}
    </section>
  );
}
