import type { ReactNode } from "react";
import { api } from "../../api/client.ts";
import { Button } from "../../design/Button.tsx";
import { HostIcon } from "../../design/icons.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { Empty } from "../../design/parts.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { StateView } from "../../design/StateView.tsx";
import { t } from "../../i18n/index.ts";
import { ago, date } from "../../text/format.ts";

/** The browsers that a launch URL has signed in; each can be sent away. */
export default function Browsers(): ReactNode {
  const held = useLoaded(async () => (await api.browsers()).items);
  const none = <Empty icon={<HostIcon size={26} />} title={t("settings:browsers.none")} words={t("settings:browsers.noneWhy")} />;
  return (
    <>
      <p className="muted"><Sentence text={t("settings:browsers.about")} /></p>
      <StateView of={held} lines={3} empty={none}>
        {(browsers) => (
          <ul role="list" className="card list" data-testid="browsers">
            {browsers.map(({ id, created_at, expires_at, last_seen_at }) => (
              <li key={id} className="list-line">
                <HostIcon size={16} />
                <span className="grow">{t("settings:browsers.since", { date: date(created_at), until: date(expires_at) })}</span>
                <time className="muted" dateTime={last_seen_at}>{t("settings:browsers.seen", { ago: ago(last_seen_at) })}</time>
                <Button small onClick={() => void held.act(api.signOut(id))}>{t("settings:browsers.signOut")}</Button>
              </li>
            ))}
          </ul>
        )}
      </StateView>
    </>
  );
}
