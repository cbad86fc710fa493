import type { ReactNode } from "react";
import { sentence } from "../api/http.ts";
import { t } from "../i18n/index.ts";
import { linkTo } from "../state/router.ts";
import { Button } from "./Button.tsx";
import { AlertIcon, LockIcon, OfflineIcon, QuestionIcon, RetryIcon } from "./icons.tsx";
import { type Loaded, type Trouble, troubleOf } from "./loaded.ts";
import { Empty, Problem, Skeleton } from "./parts.tsx";

const ICONS: Readonly<Record<Trouble, ReactNode>> = {
  offline: <OfflineIcon size={26} />, forbidden: <LockIcon size={26} />, missing: <QuestionIcon size={26} />,
  error: <AlertIcon size={26} />,
};

interface StateViewProps<T> {
  of: Omit<Loaded<T>, "busy" | "act">;
  /** How much the skeleton stands in for. */
  lines?: number;
  /** Shown in place of `children` for a list without entries: with what fills it. */
  empty?: ReactNode;
  children: (value: T) => ReactNode;
}

/** The one way a page waits, fails, is empty or may not be seen; each with a way out. What was shown stays shown. */
export function StateView<T>({ of: { value, problem, retry }, lines = 5, empty, children }: StateViewProps<T>): ReactNode {
  if (value === null) return problem === null ? <Skeleton lines={lines} /> : <TroubleView problem={problem} retry={retry} />;
  const bare = empty !== undefined && Array.isArray(value) && value.length === 0;
  return (
    <>
      <Problem text={problem === null ? null : `${sentence(problem)} ${t("design:stale")}`} retry={retry} />
      {bare ? empty : children(value)}
    </>
  );
}

export function TroubleView({ problem, retry }: { problem: unknown; retry: () => unknown }): ReactNode {
  const kind = troubleOf(problem);
  return (
    <div role="alert" data-testid="trouble" data-kind={kind}>
      <Empty icon={ICONS[kind]} title={t(`design:trouble.${kind}`)} words={sentence(problem)}>
        {kind === "offline" ? <p className="muted">{t("design:again")}</p> : null}
        <div className="empty-acts">
          <Button look={kind === "forbidden" ? "plain" : "primary"} onClick={() => void retry()}>
            <RetryIcon size={15} /> {t("design:retry")}
          </Button>
          <a className="button ghost" {...linkTo({ page: "home" })}>{t("design:home")}</a>
        </div>
      </Empty>
    </div>
  );
}
