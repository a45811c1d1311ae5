"""English words, as far as names of messages need them: verbs that begin a command, forms that say it has happened."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _words(
    """
    abandon abbreviate abolish abort absorb abstract accelerate accept access accommodate accompany accomplish
    accuse achieve acknowledge acquire act activate adapt add address adjust administer admit adopt advance
    advertise advise affirm agree aid aim alarm alert align allocate allot allow alter amass amend amplify
    analyse anchor announce annul anonymise answer anticipate apologise appeal append apply appoint appraise
    appreciate approach approve archive argue arm arrange arrest ascertain ask aspire assemble assert assess
    assign assist associate assume assure attach attempt attend attest attract audit augment authorise
    automate avert avoid await award babysit back backfill bake ban bandage bargain barter bathe beat begin
    behave believe benchmark bend bid bill bind bisect blame bleach blend bless block blow bluff blur board
    boil bolster bolt bombard bond book bookmark boost bootstrap borrow bother bottle bounce bow box brace
    brake branch brand break breathe brew bridge brief brighten bring broadcast browse brush buffer build bump
    bundle burn bury button buy bypass cache call calm cancel canvass capture care carry carve cast catalog
    catalogue catch categorise cater caution cease celebrate censor centre certify chain chair challenge
    change charge chart charter chase chat check cheer cherish chill choose chunk circle cite claim clamp
    clarify clash clasp clean clear click climb clip clog clone close coach coalesce coat code coil collapse
    collate collect color colour combine come command commemorate commence commend comment commission commit
    communicate commute compact compare compensate compete compile complain complete comply compose comprehend
    compress compromise compute concatenate conceal concede conceive conclude condemn condense conduct confer
    configure confine confirm confiscate conform confront congratulate conjure connect consent conserve
    consider consign consolidate constrain construct consult consume contact contest continue contract
    contrast contribute control convene converse convert convey convince cook cool cooperate copy correct
    correlate corroborate cost count cover crack craft cram crash crave crawl create credit critique crop
    cross crosscheck crush cultivate curate curb cure curl curtail customise cut cycle damp dance dare darken
    dash deactivate deal deauthorise debate debit debug deceive decelerate decide declare decline decode
    decompress decouple decrease decrypt deduce deduct deduplicate deepen deescalate defeat defend defer
    define deflate deflect defragment defrost defuse degrade delay delegate delete deliberate delimit delist
    deliver delve demand demonstrate demote denote deny depart depict deplete deploy deposit deprecate deprive
    derail dereference derive descend describe deserialise design desire destroy detach detect deter determine
    develop devise devote diagnose dial dictate diff differ digest dilute dim dine dip direct disable disagree
    disappear disarm disband disburse discard discharge disclaim disclose disconnect discourage discover
    discriminate discuss disguise disinfect dismantle dismiss dispatch dispel disperse displace display
    dispose disprove dispute disqualify disregard disrupt dissect dissolve distil distill distinguish
    distribute divert divide do dock document double doubt download draft drag drain draw dream dress drift
    drill drink drive drop drown dry dump duplicate dwell dye earn ease eat eavesdrop echo edit eject
    elaborate elect elicit eliminate embed emit emphasise employ empty emulate enable enact enclose encode
    encounter encourage encrypt end endorse endow endure energise enforce engage enhance enjoy enlarge enlist
    enqueue enquire enrich enrol enroll ensure entail enter entertain entitle enumerate envision equip
    eradicate erase erect escalate escape escort establish estimate etch evacuate evade evaluate evict evolve
    exaggerate examine exceed excel except exchange excite exclaim exclude excuse execute exempt exercise
    exert exhaust exhibit exist exit exonerate expand expect expedite experiment expire explain explode
    exploit explore export expose express expunge extend extinguish extract extradite extrapolate extrude
    facilitate fade fail fake fall familiarise fan fasten favor favour fear federate feed fence ferment
    fertilise fetch fight file fill fillet film filter finalise finance find fine fingerprint finish fire fit
    fix flag flatten flatter flavour flee flex flip float flood flow fluctuate flush fly focus foil fold
    follow forbid force forecast foreclose forge forget forgive fork form format formulate fortify forward
    foster found fragment frame free freeze fry fuel fulfil fulfill fumigate fund furnish further fuse gain
    gamble garnish gather gauge gaze generalise get gift give glance glaze glean glow glue go govern grab
    grade graduate graft grant graph grasp grate grease greet grill grind grip groom group grow guarantee
    guard guess guide hail halt hammer handle hang happen harden harm harmonise harvest hash hatch haul heal
    hear heat heed help herd hesitate hibernate hide highlight hijack hinder hint hire hit hoist hold honor
    honour hop hope host hover hug humidify hunt hurry hydrate hypothesise identify idle ignore illuminate
    illustrate imagine imitate immunise impact impair impeach impede impersonate implement imply import impose
    impound impress imprint improve impute incite incline include incorporate increase increment incubate
    incur indemnify index indicate induce infect infer infiltrate inflate influence inform ingest inherit
    inhibit initial initialise initiate inject injure innovate inquire inscribe insert insist inspect inspire
    install instantiate institute instruct insure integrate intend intensify interact intercede intercept
    interleave intern interpolate interpret interrupt intersect intervene interview intimidate introduce
    inundate invade invalidate invent invest investigate invite invoice invoke irrigate isolate issue itemise
    iterate jam jettison jog join jot journal judge juggle jump justify juxtapose keep kick kill kiss kneel
    knit knock know label lament laminate land lapse lash last laugh launch launder lay lead lean leap learn
    lease leave lend let level leverage levy liaise liberate license lick lie lift lighten like limit line
    linger link lint liquidate list listen litigate live load loan localise locate lock lodge log look loop
    loosen loot lose love lower lubricate lump lure magnify mail maintain make manage mandate mangle
    manipulate manufacture map march marinate mark marry marshal mask match mature maximise mean measure
    mediate meditate meet melt memoize memorise mend mention merge mesh message migrate milk mill mimic mine
    minify minimise mint mirror misplace miss mitigate mix mobilise mock model moderate modernise modify
    modulate mold monetise monitor motivate mould mount mourn move mow muffle mull multicast multiplex
    multiply munch mutate mute nag name nap narrate narrow navigate need neglect negotiate nest neutralise
    nominate normalise note notify nudge nullify number nurse nurture obey obfuscate oblige obscure observe
    obstruct obtain occupy occur offboard offend offer offset oil omit onboard ooze open operate oppose opt
    optimise orbit orchestrate order organise orient originate oust outbid outline output outrank outsource
    overcome overdraw overhaul overlay overload overlook override overrule oversee overtake overwrite owe own
    oxidise pack package pad page paginate paint pair palpate pan paraphrase pardon park parse partake
    partition pass paste patch patent patrol pause pave pay peel penalise penetrate perceive perfect perforate
    perform perish permit perpetuate persevere persist personalise persuade peruse phase phrase pick pickle
    pierce pile pilot pin ping pinpoint pioneer pipe pitch pivot place plan plant play pledge plot plough plow
    plug plunge poach point poison polish poll pollinate pollute pool populate portray position possess post
    postpone pour powder practice practise praise pray preach precede precheck predict prefer prefetch prefix
    preheat preload prepare prescribe present preserve preset preside press pretend prevail prevent preview
    price prick prime print prioritise privatise probe proceed process proclaim procrastinate procure prod
    produce profile profit prohibit project prolong promote prompt pronounce proofread propagate propel
    propose prosecute prospect prosper protect protest protrude prove provide provision prune pry publish pull
    pulverise pump punch punctuate punish purchase purge purify pursue push put quadruple qualify quantify
    quarantine quell quench query question queue quicken quit quote race radiate rain raise rally randomise
    rank ransom rate rationalise ravage reach react read ready realise reap rear reason reassure rebalance
    rebook rebuild rebuke recalculate recall recap receive recharge recite reckon reclaim recline recognise
    recommence recommend recompute reconcile reconnect record recount recover recruit rectify recur recycle
    redact redeem redeploy redesign redirect redo redrive reduce reel reenact reevaluate reexamine refactor
    refer refill refinance refine refit reflect refresh refuel refund refurbish refuse refute regain regard
    regenerate register regress regret regulate rehabilitate rehearse reign reimburse reindex reinforce
    reinstate reinvest reissue reiterate reject rejoice rejoin relabel relate relax relay relearn release
    relieve relinquish relocate rely remain remake remark remediate remedy remember remind reminisce remit
    remodel remove rename render renegotiate renew renounce renovate rent reopen reorder reorganise repair
    repay repeat repel rephrase replace replay replenish replicate reply report reposition represent reprice
    reprint reprocess reproduce reprogram repurpose request require rerun rescale reschedule rescind rescue
    research resell resemble resend resent reserve reset reside resign resist resize resolve resort respect
    respond rest restart restock restore restrict resubmit resume resurrect retail retain retaliate retarget
    retell rethink retire retool retrace retract retrain retreat retrieve retrigger retrofit retry return
    retype reunite reuse revalidate revamp reveal revere reverse revert review revise revisit revive revoke
    revolve reward rewind reword rework rewrite rid ride ring rinse rise risk rival roam roast rob rock roll
    rollback root rot rotate round route rub ruin rule run rush sabotage sacrifice sail salute salvage sample
    sanction sand sanitise satisfy saturate save saw say scald scale scan scare scatter schedule scold scope
    score scour scout scramble scrape scratch scream screen scroll scrub sculpt seal search secure see seed
    seek seem segment segregate seize select sell send separate sequence sequester serialise serve set settle
    sew shade shake shape share sharpen shave shed shell shelter shelve shield shift shine ship shock shoot
    shop shorten shout shove shovel show showcase shred shrink shrug shuffle shun shut sidestep sieve sift
    sign signal signify silence simmer simplify simulate sing sink sit situate size sketch skim skip slam slap
    slay sleep slice slide slip slope slow smash smell smile smoke smooth smuggle snapshot sneak sniff snip
    snooze soak soar sober socialise soften solder solicit solidify solve soothe sort sound source span spare
    spark spawn speak spearhead specify spell spend spill spin spit splice split spoil sponsor spool spray
    spread spring sprinkle sprint squash squeeze stab stabilise stack stage stain stall stamp stand
    standardise staple stare start starve stash stay steer stem stencil step sterilise stick stiffen stifle
    stimulate sting stipulate stir stitch stock stoke stop store stow straighten strap strategise stream
    strengthen stress stretch strike string strip strive struggle study stuff stumble stun style subdivide
    subdue subject sublet submerge submit subscribe subsidise substitute subtract succeed sue suffer suffice
    suggest suit summarise summarize summon supersede supervise supplement supply support suppose suppress
    surf surface surpass surprise surrender surround survey survive suspect suspend sustain swallow swap swear
    sweat sweep sweeten swim swing switch symbolise sympathise sync synchronise synthesise synthesize tabulate
    tack tackle tag tail tailor taint take talk tally tame tamper tan tap tape tare target taste tax teach
    tear tease teleport televise tell tempt tend terminate test thank thaw thicken thin think threaten thrive
    throttle throw thrust thwart tick tickle tidy tie tighten tilt time tint tip tire toast toggle tokenise
    tolerate top torture toss total touch tour tow trace track trade trail train transact transcode transcribe
    transfer transform transition transmit transplant transport trap trash travel traverse tread treat triage
    trick trickle trigger trim trip triple trouble troubleshoot truncate trust try tuck tug tumble tune turn
    tutor tweak tweet twist unbind unblock unbox unclog uncover underline undermine understand undertake
    underwrite undo unearth unfold unfollow unfreeze unify uninstall unite unlike unlink unload unlock unmask
    unmount unmute unpack unpark unpause unplug unravel unregister unroll unseal unset unstick unsubscribe
    untie unveil unwind unwrap unzip update upgrade uphold upload uproot upsert urge use usher utilise utter
    vacate vaccinate vacuum validate value vanish vary vectorise veil vend vent venture verbalise verify veto
    vibrate vie view violate visit visualise vocalise void volunteer vote vouch wade wager wait waive wake
    walk wander want ward warm warn warrant wash waste watch wave weaken wean wear weave wed weed weep weigh
    welcome weld wheel whip whisk whisper whitelist whiten widen wield win wind wipe wire wish withdraw wither
    withhold withstand witness wonder woo work worry worsen worship wrap wreck wrestle wring write yell yield
    zip zoom
    """
)
# what ends like a verb and is none
NOT_VERBS = _words(
    """
    candidate certificate chocolate climate concise corporate date enterprise estate expertise fate franchise
    gate inmate mate merchandise noise otherwise paradise plate precise premise private prize senate state
    syndicate template wise
    """
)
# past tenses and participles that do not end in -ed
PAST = _words(
    """
    arisen awoken became been began begun bent bitten blown born bought bound broke broken brought built burnt
    burst came caught chose chosen cut dealt did done drawn drew driven drove drunk dug eaten fallen fed fell
    felt flew flown forbidden forgotten fought found froze frozen gave given gone got gotten grew grown heard
    held hid hidden hit hung hurt kept knew known laid led left lent let lit lost made meant met mown
    overridden overrun paid proven put quit ran read rerun resent reset ridden risen rose run said sat saw
    sawn seen sent set sewn shaken shook shot shown shrunk shut slept sold spent split spoke spoken spread
    sprung spun stole stolen stood struck stuck sung sunk swam swept sworn swum taken taught thought threw
    thrown told took torn underpaid understood undone unset upset was went withdrawn withdrew withheld woke
    woken won wore worn wound woven written wrote
    """
)
# what ends in -ed and is neither
NOT_PAST = _words(
    """
    bed biped bleed breed creed deed embed exceed feed greed heed hundred indeed moped need newsfeed proceed
    red reed sacred seed shed sled speed steed succeed ted thread wed weed
    """
)
