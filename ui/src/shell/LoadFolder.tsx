import { type FormEvent, type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import { ApiError, sentence } from "../api/http.ts";
import type { Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { Notice, TextField } from "../design/parts.tsx";
import { str } from "../journal/events.ts";
import { go } from "../state/router.ts";
import { placeProject, refreshSessions } from "../state/workspace.ts";
import { overlay } from "./overlay.ts";
import { Sentence } from "../design/Sentence.tsx";

/** A folder on the host becomes a project; without a project file, a proposed one is shown first. */
export function LoadFolder({ onClose }: { onClose: () => void }): ReactNode {
  const [path, setPath] = useState("");
  const [proposal, setProposal] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const loaded = (project: Project): void => {
    placeProject(project);
    refreshSessions(project.slug).catch(() => {});
    go({ page: "project", project: project.slug });
    overlay.set(project.trust === "trusted" ? null : { kind: "trust", slug: project.slug });
  };

  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      loaded(await api.loadProject({ path: path.trim(), ...(proposal === null ? {} : { create: true }) }));
    } catch (error) {
      if (error instanceof ApiError && error.code === "project_missing" && proposal === null) {
        setProposal(proposalIn(error));
      } else setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <Dialog title="Load a folder" onClose={onClose} wide={proposal !== null}>
      <form id="load-folder" className="form" onSubmit={(event) => void submit(event)}>
        <TextField
          label="Folder on this host"
          placeholder="/home/you/code/project"
          hint="An absolute path. The agent will see this folder and nothing else of the host."
          value={path}
          required
          autoFocus
          onChange={(event) => {
            setPath(event.target.value);
            setProposal(null);
            setProblem(null);
          }}
        />
        {proposal === null ? null : (
          <>
            <Notice tone="accent">
              This folder has no project file yet. kaged can write this one to <code>.kaged/project.yaml</code>; you
              review what was written before anything runs.
            </Notice>
            <CodeBlock text={proposal} language="yaml" />
          </>
        )}
        {problem === null ? null : (
          <Notice tone="bad">
            <Sentence text={problem} />
          </Notice>
        )}
        <div className="form-acts">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={busy} disabled={path.trim() === ""}>
            {proposal === null ? "Load" : "Create it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function proposalIn(error: ApiError): string {
  const { details } = error;
  return str(details, "proposal");
}
