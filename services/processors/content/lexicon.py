"""Word lists of the offline analysis: what words weigh, what turns or strengthens them, what says nothing."""

from __future__ import annotations


def _weights(**lists: str) -> dict[str, float]:
    weights = {"delighted": 3.0, "glad": 2.0, "fair": 1.0, "poor": -1.0, "bad": -2.0, "dreadful": -3.0}
    return {word: weights[name] for name, words in lists.items() for word in words.split()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WEIGHTS = _weights(
    delighted="""
        amazing awesome best brilliant delighted excellent exceptional fantastic flawless incredible love loved loves
        magnificent marvellous outstanding perfect perfectly phenomenal remarkable splendid stunning superb terrific
        thrilled wonderful""",
    glad="""
        admire beautiful benefit benefits bright celebrate comfortable confident effective efficient elegant enjoy
        enjoyed enjoyable enthusiastic favourite favorite friendly gain generous glad good grateful great happy helpful
        impressed impressive improve improved improvement improves innovative nice pleasant pleased pleasure praise
        proud recommend recommended reliable robust safe satisfied smooth smoothly strong success successful
        successfully thank thankful thanks trust valuable win winner wins""",
    fair="""
        accept accurate affordable agree available better calm careful clean clear easy easily fair fast fine fresh
        fun healthy hope hopeful interesting kind like liked likes okay polite prompt promptly quick quickly quiet
        ready resolved solid stable support supportive useful welcome well works""",
    poor="""
        annoyed annoying average boring concern concerned concerns confused confusing costly dated delay delayed delays
        difficult dirty doubt expensive hard inconvenient issue issues lacking late limited loud messy missed missing
        noise noisy old overpriced poor problem problems risk risky slow slowly sorry strange tired unclear
        uncomfortable unsure weak worn worried worry""",
    bad="""
        afraid angry bad broke broken complain complained complaint complaints crash crashed crashes cruel damage
        damaged danger dangerous defect defective disappointed disappointing disappointment dislike error errors fail
        failed failing fails failure failures fault faulty fear fraud frustrated frustrating harm harmful hurt
        ignored ineffective leak leaked leaking lose losing loss lost mistake pain painful poorly refuse refused rude
        sad scam sick stolen stuck terrified threat ugly unacceptable unfair unfortunately unhappy unreliable unsafe
        upset useless waste wasted worse wrong""",
    dreadful="""
        abysmal appalling atrocious awful catastrophe catastrophic despise disaster disastrous disgusting dreadful
        furious hate hated hates hideous horrible horrific miserable nightmare outrageous pathetic terrible worst
        worthless""",
)

NEGATIONS = _words(
    """ain't aren't barely can't cannot couldn't didn't doesn't don't hardly hasn't haven't isn't lacks neither never no
    nobody none nor not nothing scarcely shouldn't wasn't weren't without won't wouldn't"""
)

STRENGTHS = {
    **dict.fromkeys(_words("absolutely completely deeply exceptionally extremely incredibly remarkably totally"), 1.5),
    **dict.fromkeys(_words("especially greatly highly particularly quite really so too truly very"), 1.25),
    **dict.fromkeys(_words("fairly mildly moderately partly rather slightly somewhat"), 0.6),
}

STOP_WORDS = _words(
    """a about above across after again against ago all almost along already also although always am among an and
    another any anyone anything are aren't around as ask asked at away back be became because become been before
    behind being below between both but by came can can't cannot come could couldn't did didn't do does doesn't doing
    don't done down during each either else enough even ever every everyone everything few first for from further gave
    get gets getting give given go goes going gone got had hadn't has hasn't have haven't having he he'd he'll he's her
    here hers herself him himself his how however i i'd i'll i'm i've if in indeed instead into is isn't it it's its
    itself just keep kept last least less let let's like made make makes making many may maybe me might mine more most
    much must my myself near need needs neither never next no nobody none nor not nothing now of off often on once one
    only onto or other others our ours ourselves out over own per perhaps put quite rather really said same saw say
    says second see seem seems seen several shall she she'd she'll she's should shouldn't since so some someone
    something still such take taken takes tell than that that's the their theirs them themselves then there there's
    therefore these they they'd they'll they're they've thing things third this those though three through thus to
    together told too took toward towards two under until up upon us use used uses using very via want wants was
    wasn't way we we'd we'll we're we've went were weren't what what's when where whether which while who who's whom
    whose why will with within without won't would wouldn't yes yet you you'd you'll you're you've your yours yourself
    yourselves"""
)
