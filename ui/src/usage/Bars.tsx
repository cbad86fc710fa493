import { type ReactNode, useState } from "react";
import { t } from "../i18n/index.ts";
import { ceiling, type Column } from "./sums.ts";

interface BarsProps {
  columns: readonly Column[];
  series: readonly (string | null)[];
  show: (value: number) => string;
  day: (iso: string) => string;
}

const HEIGHT = 180;
const GAP = 0.24;

const sum = (parts: readonly number[]): number => parts.reduce((all, part) => all + part, 0);

/** Stacked bars, a day each. Everything that they show stands in the table below too, which is what is read aloud. */
export function Bars({ columns, series, show, day }: BarsProps): ReactNode {
  const [at, setAt] = useState<number | null>(null);
  const top = ceiling(Math.max(0, ...columns.map(({ parts }) => sum(parts))));
  const shown = at === null ? undefined : columns[at];
  return (
    <figure className="card plot" aria-label={t("usage:plot")}>
      <div className="plot-scale" aria-hidden>
        {[1, 0.5, 0].map((share) => <span key={share}>{show(top * share)}</span>)}
      </div>
      <svg viewBox={`0 0 ${columns.length} ${HEIGHT}`} preserveAspectRatio="none" className="plot-bars" aria-hidden
        onPointerLeave={() => setAt(null)}>
        {columns.map(({ day: name, parts }, index) => (
          <g key={name} data-on={index === at} onPointerEnter={() => setAt(index)}>
            <rect className="plot-back" x={index} y={0} width={1} height={HEIGHT} />
            {parts.map((value, place) => {
              const height = (value / top) * HEIGHT;
              const below = (sum(parts.slice(0, place)) / top) * HEIGHT;
              const y = HEIGHT - below - height;
              return value === 0 ? null : (
                <rect key={place} className={`series-${place + 1}`} x={index + GAP / 2} y={y} width={1 - GAP} height={height} />
              );
            })}
          </g>
        ))}
      </svg>
      <figcaption className="plot-words">
        <span>{day((shown ?? columns[0])?.day ?? "")}</span>
        <span className="plot-legend">
          {series.map((name, place) => (
            <span key={name ?? ""} className="plot-key">
              <i className={`series-${place + 1}`} aria-hidden />
              {name ?? t("usage:others")}
              {shown === undefined ? null : <b>{show(shown.parts[place] ?? 0)}</b>}
            </span>
          ))}
        </span>
        <span>{shown === undefined ? day(columns.at(-1)?.day ?? "") : show(sum(shown.parts))}</span>
      </figcaption>
    </figure>
  );
}
