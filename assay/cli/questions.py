"""Subcommands about what people ask of features.
Not for comments on a version under review.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

STATES = ("open", "answered", "closed")


def add(commands: Commands) -> None:
    group = commands.group("questions", "What people ask of features.")
    listing = group.add("list", run_list, "List questions and answers.")
    listing.add_argument("feature", nargs="?", metavar="VIEW[:FEATURE]")
    listing.add_argument("--state", choices=STATES)
    listing.add_argument("--limit", type=int, default=50, help="questions, default 50")
    ask = group.add("ask", run_ask, "Ask something about a feature.")
    ask.add_argument("feature", metavar="VIEW:FEATURE")
    ask.add_argument("text", metavar="TEXT")
    answer = group.add("answer", run_answer, "Answer a question.")
    answer.add_argument("question", type=int, metavar="QUESTION")
    answer.add_argument("text", metavar="TEXT")
    accept = group.add("accept", run_accept, "Say which answer answers a question.")
    accept.add_argument("question", type=int, metavar="QUESTION")
    accept.add_argument("answer", type=int, metavar="ANSWER")
    for name, run, words in (
        ("close", run_close, "Close a question; what was said stays."),
        ("reopen", run_reopen, "Open a question that was closed."),
    ):
        group.add(name, run, words).add_argument("question", type=int, metavar="QUESTION")


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.list_questions(args.feature, state=args.state, limit=args.limit)
    if context.out.as_json:
        context.out.json(found)
        return
    for question in found:
        _show(context, question)
    if not found:
        context.out.note("nothing was asked")


def run_ask(context: Context, args: argparse.Namespace) -> None:
    _say(context, context.store.ask_question(args.feature, args.text))


def run_answer(context: Context, args: argparse.Namespace) -> None:
    _say(context, context.store.answer_question(args.question, args.text))


def run_accept(context: Context, args: argparse.Namespace) -> None:
    _say(context, context.store.accept_answer(args.question, args.answer))


def run_close(context: Context, args: argparse.Namespace) -> None:
    _say(context, context.store.close_question(args.question))


def run_reopen(context: Context, args: argparse.Namespace) -> None:
    _say(context, context.store.reopen_question(args.question))


def _say(context: Context, question: JSON) -> None:
    if context.out.as_json:
        context.out.json(question)
    else:
        _show(context, question)


def _show(context: Context, question: JSON) -> None:
    closed = ", closed" if question["closed_at"] else ""
    context.out.line(
        f"{question['id']}  {question['feature']}  {question['asked_by']}{closed}", "bold"
    )
    context.out.line(f"    {question['text']}")
    for answer in question["answers"]:
        mark = " (accepted)" if answer["id"] == question["accepted"] else ""
        context.out.line(f"    {answer['id']}  {answer['answered_by']}{mark}: {answer['text']}")
