#!/usr/bin/env python3
"""Draws loss.csv as an SVG: the training loss and the validation losses of a few files.

usage: plot_loss.py loss.csv loss.svg
"""
import csv
import sys

FILES = {"train": "#888888", "tinystories": "#1f77b4", "fables_llama": "#d62728",
         "readers": "#9467bd", "grammar_chats": "#2ca02c", "chat_qa": "#ff7f0e"}
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 760, 400, 45, 35, 130, 15
MOST = 5.0


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last = int(rows[-1]["step"])

    def x(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(loss, MOST) / MOST)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for loss in range(int(MOST) + 1):
        out.append(f'<path d="M{LEFT} {y(loss):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>')
    for step in range(0, last + 1, 200):
        out.append(f'<text x="{x(step):.1f}" y="{HEIGHT - 15}" text-anchor="middle">{step}</text>')
    ends = []
    for name, color in FILES.items():
        points = [(int(r["step"]), float(r[name])) for r in rows if r[name]]
        line = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        ends.append((y(points[-1][1]), name, color, points[-1][1]))
    below = 0.0
    for at, name, color, loss in sorted(ends):  # labels keep a distance
        below = max(at, below + 14)
        out.append(f'<text x="{WIDTH - RIGHT + 6}" y="{below + 4:.1f}" fill="{color}">'
                   f'{name} {loss:.2f}</text>')
    out.append(f'<text x="{(WIDTH - RIGHT) / 2}" y="{HEIGHT - 1}" text-anchor="middle">step</text></svg>')
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
