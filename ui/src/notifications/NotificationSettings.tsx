import { type ReactNode, useEffect, useState } from "react";
import { Button } from "../design/Button.tsx";
import { useOnReturn } from "../design/hooks.ts";
import { Problem } from "../design/parts.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { toast } from "../state/toasts.ts";
import "./notifications.css";
import { type PushState, pushState, sendTest, turnOff, turnOn } from "./push.ts";

/** One switch: whether this device is told while no page is open, and why it cannot be where that is so. */
export function NotificationSettings(): ReactNode {
  const [state, setState] = useState<PushState | null>(null);
  const { busy, problem, run } = useWork();
  const look = (): void => void pushState().then(setState);
  useEffect(look, []);
  // The permission is changed in the browser's own settings.
  useOnReturn(look);
  const act = (work: () => Promise<PushState | void>): void => void run(async () => setState((await work()) ?? state));
  const able = state === "on" || state === "off";
  return (
    <section className="card push" aria-label={t("notifications:title")} data-testid="push-settings" data-state={state}>
      <div className="push-line">
        <div className="grow">
          <h2 id="push-title">{t("notifications:title")}</h2>
          <p className="muted">{t("notifications:words")}</p>
        </div>
        <button type="button" role="switch" className="switch" data-testid="push-switch" aria-checked={state === "on"}
          aria-busy={busy} aria-label={t("notifications:switch")} aria-describedby="push-state" disabled={!able}
          onClick={() => busy || act(state === "on" ? turnOff : turnOn)}>
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
      <Problem text={problem && t("notifications:refused", { why: problem })} />
    </section>
  );
}
