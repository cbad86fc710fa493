import { type ReactNode, useState } from "react";
import { Button } from "../design/Button.tsx";
import { AlertIcon, RetryIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { when } from "../text/format.ts";
import { socket } from "../ws/browser.ts";
import { away } from "./away.ts";
import "./offline.css";
import { newer, toNewVersion } from "./version.ts";

/** What the page itself has to say: that it is out of date, or out of touch. */
export function Bars(): ReactNode {
  const since = useStore(away);
  const offered = useStore(newer);
  const [later, setLater] = useState(false);
  if (since !== null)
    return (
      <div className="bar" role="status" data-testid="offline-bar">
        <AlertIcon size={15} />
        <span className="grow">{t("offline:since", { time: when(new Date(since).toISOString()) })}</span>
        <Button small onClick={() => socket.nudge()}>{t("offline:try")}</Button>
      </div>
    );
  if (!offered || later) return null;
  return (
    <div className="bar" role="status" data-testid="version-bar">
      <RetryIcon size={15} />
      <span className="grow">{t("offline:newer")}</span>
      <Button small look="ghost" onClick={() => setLater(true)}>{t("offline:later")}</Button>
      <Button small data-testid="reload" onClick={() => void toNewVersion()}>{t("offline:reload")}</Button>
    </div>
  );
}
