import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import { Button } from "../design/Button.tsx";
import { FolderIcon } from "../design/icons.tsx";
import { Empty, Notice, Skeleton } from "../design/parts.tsx";
import { Header } from "../shell/Header.tsx";
import { overlay } from "../shell/overlay.ts";
import { go, sessionPlace } from "../state/router.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { placeSession, workspace, type Workspace } from "../state/workspace.ts";
import { Sentence } from "../design/Sentence.tsx";
import { AttentionList } from "./Attention.tsx";

/** The first page is where work is: what waits for the reader, the sample's session, else the newest one, else how to begin. */
export function Home({ onMenu }: { onMenu: () => void }): ReactNode {
  const space = useStore(workspace);
  const [problem, setProblem] = useState<string | null>(null);
  // What waits stays in sight while it is decided; the page does not leave under the reader's hands.
  const [stays, setStays] = useState(false);
  if (space.attention.length > 0 && !stays) setStays(true);
  useEffect(() => {
    if (!space.loaded || stays) return undefined;
    let current = true;
    firstSession(space).then(
      (place) => current && place !== null && go(place, "replace"),
      (error: unknown) => current && setProblem(sentence(error)),
    );
    return () => {
      current = false;
    };
  }, [space, stays]);
  if (stays)
    return (
      <>
        <Header title="Waiting for you" onMenu={onMenu} />
        <AttentionList space={space} />
      </>
    );
  return (
    <>
      <Header title="kaged" onMenu={onMenu} />
      {problem === null ? null : (
        <div className="page" tabIndex={0}>
          <Notice tone="bad">
            <Sentence text={problem} />
          </Notice>
        </div>
      )}
      {space.loaded && space.projects.length === 0 ? (
        <Empty icon={<FolderIcon size={28} />} title="Start with a folder">
          <p>
            Load a folder of this host, or clone a git repository, as a project. An agent can then read, run and edit in
            it, inside a cage.
          </p>
          <Button look="primary" onClick={() => overlay.set({ kind: "load" })}>
            Load a folder
          </Button>
        </Empty>
      ) : (
        <div className="page" tabIndex={0}>
          <Skeleton lines={4} />
        </div>
      )}
    </>
  );
}

async function firstSession(space: Workspace): Promise<ReturnType<typeof sessionPlace> | null> {
  const sample = space.projects.find((project) => project.sample && lacks(project, "editor") === null);
  if (sample !== undefined) {
    const known = space.sessions[sample.slug]?.items.at(-1);
    if (known !== undefined) return sessionPlace(sample.slug, known.id);
    // The same key for every tab: two of them opened at once make one session.
    const made = await api.createSession(sample.slug, { title: "First look" }, `first-look-${sample.slug}`);
    placeSession(made);
    return sessionPlace(sample.slug, made.id);
  }
  const all = Object.values(space.sessions).flatMap((page) => page.items);
  const newest = all.toSorted((one, two) => two.updated_at.localeCompare(one.updated_at))[0];
  if (newest !== undefined) return sessionPlace(newest.project, newest.id);
  const project = space.projects[0];
  if (project !== undefined) go({ page: "project", project: project.slug }, "replace");
  return null;
}
