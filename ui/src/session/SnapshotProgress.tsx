import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import type { Project } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { whole } from "../text/format.ts";

const EVERY_MS = 1000;
/** A snapshot that begins with the session tells nothing for a moment. */
const LOOKS = 3;

/** How far a snapshot of many files is; nothing while there is none. `waits` says that something may wait for it. */
export function SnapshotProgress({ project, waits }: { project: string; waits: boolean }): ReactNode {
  const [progress, setProgress] = useState<Project["snapshot"]>(null);
  useEffect(() => {
    let timer = 0;
    let gone = false;
    const look = async (left: number): Promise<void> => {
      // What is wrong with the connection is told elsewhere.
      const found = await api.project(project).then(({ snapshot }) => snapshot, () => null);
      if (gone) return;
      setProgress(found);
      if (found !== null || waits || left > 0) timer = window.setTimeout(() => void look(left - 1), EVERY_MS);
    };
    void look(LOOKS);
    return () => {
      gone = true;
      window.clearTimeout(timer);
    };
  }, [project, waits]);
  return (
    <div role="status" data-testid="snapshot">
      {progress === null ? null : t("snapshot:progress", { done: whole(progress.done), count: progress.total, total: whole(progress.total) })}
    </div>
  );
}
