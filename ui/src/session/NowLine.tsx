import type { ReactNode } from "react";
import { useNow } from "../design/hooks.ts";
import { InterruptIcon } from "../design/icons.tsx";
import { Dot } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { activity } from "../journal/activity.ts";
import { currentRun, type Transcript } from "../journal/model.ts";
import { elapsed } from "../text/format.ts";
import { interrupt } from "./acts.ts";
import { useSession } from "./context.ts";
import { Act, useWork } from "./work.tsx";

/** What goes on now, and the way to stop it. */
export function NowLine({ transcript }: { transcript: Transcript }): ReactNode {
  const { project, session, live } = useSession();
  const now = useNow(true);
  const [stopping, stop] = useWork();
  const doing = activity(transcript);
  const since = doing === null || doing.since === "" ? Number.NaN : now - live.skewMs - Date.parse(doing.since);
  return (
    <div className="now" data-testid="now">
      <Dot state={currentRun(transcript)?.state ?? "running"} />
      <span className="now-words grow">
        <span className="shimmer">{doing?.verb ?? t("words:working")}</span>
        {doing?.object ? <code className="ellipsis">{doing.object}</code> : null}
      </span>
      {since >= 1000 ? <span className="now-time">{elapsed(since)}</span> : null}
      <Act data-testid="interrupt" busy={stopping} title={t("session:interruptTitle")} onClick={() => void stop(interrupt(project, session))}>
        {stopping ? null : <InterruptIcon size={11} fill="currentColor" aria-hidden />} {t("session:interrupt")}
      </Act>
    </div>
  );
}
