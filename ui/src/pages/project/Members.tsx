import { type FormEvent, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { api } from "../../api/client.ts";
import { sentence } from "../../api/http.ts";
import type { Member, ProjectRole } from "../../api/types.ts";
import { Button, IconButton } from "../../design/Button.tsx";
import { RemoveIcon } from "../../design/icons.tsx";
import { Notice } from "../../design/parts.tsx";
import { Face, Who } from "../../design/People.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import type { TabProps } from "../ProjectPage.tsx";
import { ROLES } from "../../state/rights.ts";
import { t } from "../../i18n/index.ts";
import { me, refreshMe } from "../../state/workspace.ts";

/** Who takes part in a project, for its owners: each with a role, which counts from the next moment on. */
export default function Members({ project }: TabProps): ReactNode {
  const [members, setMembers] = useState<Member[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const card = useRef<HTMLDivElement>(null);
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  const { slug } = project;
  const look = useCallback(
    () => api.members(slug).then(({ items }) => setMembers(items), (error: unknown) => setProblem(sentence(error))),
    [slug],
  );
  useEffect(() => void look(), [look]);

  // One change after the other. Nothing is disabled meanwhile: that would take the focus from the keyboard's user.
  const act = async (change: () => Promise<unknown>, who: string): Promise<boolean> => {
    const turn = queue.current.then(change);
    queue.current = turn.catch(() => {});
    setBusy(true);
    setProblem(null);
    try {
      await turn;
      if (who === me.get()?.id) await refreshMe();
      return true;
    } catch (error) {
      setProblem(sentence(error));
      return false;
    } finally {
      await look();
      setBusy(false);
    }
  };

  const remove = async (id: string): Promise<void> => {
    if (await act(() => api.removeMember(slug, id), id)) card.current?.focus();
  };

  return (
    <>
      <p className="muted">
        {t("project:members.about")}
      </p>
      {problem === null ? null : (
        <Notice tone="bad">
          <Sentence text={problem} />
        </Notice>
      )}
      <div className="card" data-testid="members" ref={card} tabIndex={-1}>
        <ul role="list" className="list">
          {members?.map((member) => (
            <li key={member.id} className="list-line member" data-testid="member" data-role={member.role}>
              <Face who={member} />
              <Who who={member} />
              <Role
                label={t("project:members.roleOf", { id: member.id })}
                value={member.role}
                onChange={(role) => void act(() => api.setMember(slug, member.id, role), member.id)}
              />
              <IconButton label={t("project:members.remove", { id: member.id })} onClick={() => void remove(member.id)}>
                <RemoveIcon size={15} />
              </IconButton>
            </li>
          ))}
          {members?.length === 0 ? <li className="list-line muted">{t("project:members.none")}</li> : null}
        </ul>
        <AddMember busy={busy} onAdd={(user, role) => act(() => api.setMember(slug, user, role), user)} />
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
    <form className="member-add" onSubmit={submit}>
      <input
        className="input"
        aria-label={t("project:members.id")}
        placeholder={t("project:members.idHint")}
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        value={user}
        onChange={(event) => setUser(event.target.value)}
      />
      <Role label={t("project:members.role")} value={role} onChange={setRole} />
      <Button type="submit" busy={busy} disabled={user.trim() === ""} data-testid="member-add">
        {t("project:members.add")}
      </Button>
    </form>
  );
}

interface RoleProps {
  label: string;
  value: ProjectRole;
  onChange: (role: ProjectRole) => void;
}

function Role({ label, value, onChange }: RoleProps): ReactNode {
  return (
    <select
      className="select role"
      aria-label={label}
      value={value}
      onChange={(event) => onChange(ROLES.find((role) => role === event.target.value) ?? value)}
    >
      {ROLES.map((role) => (
        <option key={role}>{role}</option>
      ))}
    </select>
  );
}
