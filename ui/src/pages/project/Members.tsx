import { type FormEvent, type ReactNode, useRef, useState } from "react";
import { api } from "../../api/client.ts";
import type { ProjectRole } from "../../api/types.ts";
import { Button, IconButton } from "../../design/Button.tsx";
import { RemoveIcon } from "../../design/icons.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { Problem, Select } from "../../design/parts.tsx";
import { Face, Who } from "../../design/People.tsx";
import { StateView } from "../../design/StateView.tsx";
import { useWork } from "../../design/work.ts";
import { t } from "../../i18n/index.ts";
import { ROLES } from "../../state/rights.ts";
import { me, refreshMe } from "../../state/workspace.ts";
import type { TabProps } from "../ProjectPage.tsx";

/** Who takes part in a project, for its owners: each with a role, which counts from the next moment on. */
export default function Members({ project: { slug } }: TabProps): ReactNode {
  const held = useLoaded(async () => (await api.members(slug)).items, slug);
  const { busy, problem, run } = useWork();
  const card = useRef<HTMLDivElement>(null);
  const queue = useRef<Promise<unknown>>(Promise.resolve());

  // One change after the other. Nothing is disabled meanwhile: that would take the focus from the keyboard's user.
  const act = async (who: string, change: () => Promise<unknown>): Promise<boolean> => {
    const turn = queue.current.then(change);
    queue.current = turn.catch(() => {});
    const done = await run(async () => {
      await turn;
      if (who === me.get()?.id) await refreshMe();
    });
    await held.retry();
    return done;
  };
  const remove = async (id: string): Promise<void> => {
    if (await act(id, () => api.removeMember(slug, id))) card.current?.focus();
  };
  const set = (id: string, role: ProjectRole): Promise<boolean> => act(id, () => api.setMember(slug, id, role));

  return (
    <>
      <p className="muted">{t("project:members.about")}</p>
      <Problem text={problem} />
      <div className="card" data-testid="members" ref={card} tabIndex={-1}>
        <StateView of={held} lines={3}>
          {(members) => (
            <ul role="list" className="list">
              {members.map((member) => (
                <li key={member.id} className="list-line member" data-testid="member" data-role={member.role}>
                  <Face who={member} />
                  <Who who={member} />
                  <Select className="role" label={t("project:members.roleOf", { id: member.id })} of={ROLES} now={member.role}
                    onChoose={(role) => void set(member.id, role)} />
                  <IconButton label={t("project:members.remove", { id: member.id })} onClick={() => void remove(member.id)}>
                    <RemoveIcon size={15} />
                  </IconButton>
                </li>
              ))}
              {members.length === 0 ? <li className="list-line muted">{t("project:members.none")}</li> : null}
            </ul>
          )}
        </StateView>
        <AddMember busy={busy} onAdd={set} />
      </div>
    </>
  );
}

interface AddProps {
  busy: boolean;
  onAdd: (user: string, role: ProjectRole) => Promise<boolean>;
}

function AddMember({ busy, onAdd }: AddProps): ReactNode {
  const [user, setUser] = useState("");
  const [role, setRole] = useState<ProjectRole>("viewer");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void onAdd(user.trim(), role).then((done) => done && setUser(""));
  };
  return (
    <form className="controls member-add" onSubmit={submit}>
      <input className="input" aria-label={t("project:members.id")} placeholder={t("project:members.idHint")}
        autoComplete="off" autoCapitalize="none" spellCheck={false} value={user} onChange={(event) => setUser(event.target.value)} />
      <Select className="role" label={t("project:members.role")} of={ROLES} now={role} onChoose={setRole} />
      <Button type="submit" busy={busy} disabled={user.trim() === ""} data-testid="member-add">{t("project:members.add")}</Button>
    </form>
  );
}
