import type { ReactNode } from "react";
import { ModelIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { currentRun, isActive, type Transcript } from "../journal/model.ts";
import { money, tokens } from "../text/format.ts";
import { inspector, toggleInspector } from "./panel.ts";
import { useStore } from "../state/store.ts";

/** The model in use and what it used, at a glance; opens to all of it. */
export function Glance({ transcript, model }: { transcript: Transcript; model: string }): ReactNode {
  const open = useStore(inspector);
  const run = currentRun(transcript);
  const shown = (isActive(run) ? run?.model : "") || model || run?.model || "";
  const { input, output, cacheRead, cost, estimated } = transcript.usage;
  return (
    <button type="button" className="glance" aria-expanded={open} title={t("session:glance")} onClick={toggleInspector}>
      {shown === "" ? null : (
        <span className="glance-model">
          <ModelIcon size={13} aria-hidden />
          <span className="ellipsis">{shown}</span>
        </span>
      )}
      {input + output === 0 ? null : (
        <span className="usage" data-testid="usage">
          <span title={t("session:contextTitle")}>{t("session:context", { amount: tokens(transcript.context) })}</span>
          <span className="glance-more">
            {t("session:tokensIn", { amount: tokens(input) })}
            {cacheRead > 0 ? ` ${t("session:cached", { amount: tokens(cacheRead) })}` : ""}
          </span>
          <span>{t("session:tokensOut", { amount: tokens(output) })}</span>
          {cost > 0 ? <span>{money(cost)}</span> : null}
          {estimated ? <span className="glance-more" title={t("session:estimatedTitle")}>{t("session:estimated")}</span> : null}
        </span>
      )}
    </button>
  );
}
