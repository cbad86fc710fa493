import type { ReactNode } from "react";
import { t } from "../i18n/index.ts";
import { api } from "../api/client.ts";
import type { User } from "../api/types.ts";
import { QuestionIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Badge, Empty } from "../design/parts.tsx";
import { Face, Who } from "../design/People.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { StateView } from "../design/StateView.tsx";
import { Frame } from "../shell/Frame.tsx";
import { when } from "../text/format.ts";

/** Everybody who ever signed in, for admins: what each may do, and how that is changed. */
export default function UsersPage(): ReactNode {
  const held = useLoaded(async () => (await api.users()).items);
  const none = <Empty icon={<QuestionIcon size={26} />} title={t("places:users.none")} words={t("places:users.noneWhy")} />;
  return (
    <Frame title={t("places:page.users")}>
      <p className="muted"><Sentence text={t("places:users.about")} /></p>
      <StateView of={held} empty={none}>
        {(users) => (
          <ul role="list" className="card list" data-testid="users">
            {users.map((user) => (
              <li key={`${user.source} ${user.id}`} className="list-line member" data-testid="user">
                <Face who={user} />
                <Who who={user} />
                <Rights user={user} />
                <time className="muted" dateTime={user.last_seen_at} title={t("places:users.first", { at: user.first_seen_at })}>
                  {when(user.last_seen_at)}
                </time>
              </li>
            ))}
          </ul>
        )}
      </StateView>
    </Frame>
  );
}

function Rights({ user }: { user: User }): ReactNode {
  const projects = Object.entries(user.projects);
  if (user.admin !== null) return <span title={t(`places:users.${user.admin}`)}><Badge tone="accent">{t("places:users.admin")}</Badge></span>;
  if (projects.length === 0) return <Badge>{t("places:users.noRights")}</Badge>;
  return (
    <span className="user-projects">{projects.map(([slug, role]) => <Badge key={slug}>{slug}: {role}</Badge>)}</span>
  );
}
