import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import { useLoaded } from "../design/loaded.ts";
import { t } from "../i18n/index.ts";
import { linkTo } from "../state/router.ts";
import { money, tokens } from "../text/format.ts";
import { period, total } from "./sums.ts";

/** What today has used so far, in a line that leads to all of it; `about` changes when a run has ended. */
export function UsageToday({ about }: { about: string }): ReactNode {
  const { since, offset } = period(new Date(), 0);
  const { value } = useLoaded(() => api.usage(since, offset), about);
  const { calls, cost, input, output } = total(value?.items ?? []);
  const facts = [cost > 0 ? money(cost) : "", t("traces:tokens", { amount: tokens(input + output) }), t("usage:callCount", { count: calls })];
  return (
    <a className="desk-usage muted" data-testid="usage-today" {...linkTo({ page: "usage" })}>
      {calls === 0 ? t("usage:nothingToday") : t("usage:today", { facts: facts.filter(Boolean).join(" · ") })}
    </a>
  );
}
