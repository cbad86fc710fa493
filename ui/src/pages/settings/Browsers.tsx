import type { ReactNode } from "react";
import { api } from "../../api/client.ts";
import { Button } from "../../design/Button.tsx";
import { HostIcon } from "../../design/icons.tsx";
import { Empty } from "../../design/parts.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { ago, date } from "../../text/format.ts";
import { useLoaded } from "../../design/loaded.ts";
import { StateView } from "../../design/StateView.tsx";

/** The browsers that a launch URL has signed in; each can be sent away. */
export default function Browsers(): ReactNode {
  const held = useLoaded(api.browsers);
  return (
    <>
      <p className="muted">
        <Sentence text={t("settings:browsers.about")} />
      </p>
      <StateView of={held} lines={3}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty icon={<HostIcon size={26} />} title={t("settings:browsers.none")}>
              <p>{t("settings:browsers.noneWhy")}</p>
            </Empty>
          ) : (
            <ul role="list" className="card list" data-testid="browsers">
              {items.map(({ id, created_at, expires_at, last_seen_at }) => (
                <li key={id} className="list-line">
                  <HostIcon size={16} aria-hidden />
                  <span className="grow">{t("settings:browsers.since", { date: date(created_at), until: date(expires_at) })}</span>
                  <time className="muted" dateTime={last_seen_at}>
                    {t("settings:browsers.seen", { ago: ago(last_seen_at) })}
                  </time>
                  <Button small onClick={() => void held.act(api.signOut(id))}>
                    {t("settings:browsers.signOut")}
                  </Button>
                </li>
              ))}
            </ul>
          )
        }
      </StateView>
    </>
  );
}
