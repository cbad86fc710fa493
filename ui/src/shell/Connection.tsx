import { type ReactNode, useEffect, useState, useSyncExternalStore } from "react";
import { Dot } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { socket } from "../ws/browser.ts";

type Line = "open" | "connecting" | "waiting";

/** A lost line shorter than this is nobody's business. */
const GRACE_MS = 700;

export function useConnection(): Line {
  const status = useSyncExternalStore((listener) => socket.watchStatus(listener), () => socket.status);
  const [calm, setCalm] = useState(status);
  useEffect(() => {
    const timer = setTimeout(() => setCalm(status), status === "open" ? 0 : GRACE_MS);
    return () => clearTimeout(timer);
  }, [status]);
  return calm;
}

/** Quiet while all is well, plain words when the line is down. */
export function Connection(): ReactNode {
  const status = useConnection();
  return (
    <span className="connection" role="status" data-testid="connection" data-state={status} title={t(`shell:line.${status}`)}>
      <Dot state={status === "open" ? "ok" : "waiting"} />
      <span className={status === "open" ? "hidden-text" : ""}>{t(status === "open" ? "shell:line.open" : "shell:reconnecting")}</span>
    </span>
  );
}
