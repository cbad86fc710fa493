import { createTwoFilesPatch } from "diff";
import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { ProjectFiles } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { DiffView } from "../design/DiffView.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Badge, Problem, Skeleton } from "../design/parts.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast } from "../state/toasts.ts";
import { findProject, placeProject, refreshProjects, workspace } from "../state/workspace.ts";
import { type FileDiff, parseDiff } from "../text/diff.ts";
import { languageOf } from "../text/spans.ts";

type Reviewed = ProjectFiles["files"][number];

function changeOf({ text, trusted }: Reviewed): "same" | "changed" | "new" | "gone" {
  if (text === trusted) return "same";
  return trusted === null ? "new" : text === null ? "gone" : "changed";
}

function difference({ path, text, trusted }: Reviewed): FileDiff[] {
  return parseDiff(createTwoFilesPatch(`a/${path}`, `b/${path}`, trusted ?? "", text ?? "", "", "", { context: 4 }));
}

/** What trust covers, to be read before it is given. Trust names the content: if that changes, it is asked again. */
export default function TrustReview({ slug, onClose }: { slug: string; onClose: () => void }): ReactNode {
  const project = findProject(useStore(workspace), slug);
  const lacking = lacks(project, "owner");
  const look = async (): Promise<ProjectFiles["files"]> => {
    await refreshProjects();
    return (await api.projectFiles(slug)).files;
  };
  const { value: files, problem: unread, retry } = useLoaded(look, slug);
  const { busy, problem, run } = useWork();
  const trust = async (): Promise<void> => {
    placeProject(await api.trustProject(slug, project?.hash ?? ""));
    toast(t("trust:done", { slug }));
    onClose();
  };
  const foot = (
    <>
      <Button onClick={onClose}>{t("trust:notNow")}</Button>
      <Button look="primary" busy={busy} disabled={files === null || !project?.hash || lacking !== null}
        title={lacking ?? undefined} onClick={() => void run(trust).then(async (done) => done || (await retry()))}>
        {t("trust:trust")}
      </Button>
    </>
  );
  return (
    <Dialog wide title={t("trust:title", { slug })} onClose={onClose} foot={foot}>
      <p>{t(project?.trust === "changed" ? "trust:changed" : "trust:first")}</p>
      <Problem text={problem} />
      {unread === null ? null : <Problem text={sentence(unread)} retry={retry} />}
      {files === null && unread === null ? <Skeleton lines={6} /> : null}
      {files?.map((file) => (
        <section key={file.path} className="review-file">
          <h3 className="mono">
            {file.path} <Badge tone={changeOf(file) === "same" ? null : "accent"}>{t(`trust:change.${changeOf(file)}`)}</Badge>
          </h3>
          {changeOf(file) === "same" || file.trusted === null ? (
            <CodeBlock text={file.text ?? ""} language={languageOf(file.path)} />
          ) : difference(file).map((part) => <DiffView key={part.path} file={part} />)}
        </section>
      ))}
    </Dialog>
  );
}
