"""The words in which a text refuses, as tables of patterns with the reason of each. How they are used: refusal.py.

In small letters, with straight apostrophes and single spaces. `<help>` stands for the alternatives under `help` in
WORDS, `(a|b)` for one of them. They were made from what aligned models write, and are measured against people's
labels by bench/refusal_labels.py. No pattern is there for one text, and none decides over 2% of the labels alone.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Alternatives that patterns share.
WORDS: Mapping[str, str] = {
    "it is": r"\b(it('s| is| would be)|that('s| is| would be)|this is)",
    "i am": r"\bi( am|'?m)",
    "not": r"(<cannot>|will not|won'?t|must not|mustn'?t|should not|shouldn'?t|would not|wouldn'?t)",
    "cannot": r"(can ?not|can'?t|could not|couldn'?t)",
    "help": (
        r"(provid|help(?! but)|assist|answer|fulfil|comply|complet|give|giv|offer|shar|support|creat|writ|"
        r"generat|discuss|engag|endors|encourag|promot|participat|take part|suggest|condon|teach|explain|"
        r"describ|list|show|respond|advis|disclos|reveal|speculat|tell|say|go there|touch|accommodat|"
        r"facilitat|produc|be (of help|a? ?part|able)|do (that|this|so|it|any)|do[.,])"
    ),
    "very": r"(so |very |really |truly |deeply |terribly )*",
    "good": (
        r"(appropriate|respectful|ethical|acceptable|fair|okay|ok|moral|productive|proper|advisable|"
        r"justifiable|justified|helpful|responsible|accurate (or|and|nor) \w+)"
    ),
    "bad": (
        r"(unethical|inappropriate|wrong|immoral|disrespectful|unacceptable|offensive|discriminatory|"
        r"irresponsible|harmful|hurtful|biased|prejudiced)"
    ),
    "people": (
        r"\b(people|person|individuals?|men|women|children|groups?|citizens|immigrants|anyone|everyone|"
        r"humans?|race|gender|religion|ethnicity|victims?|lives|muslims|jews|christians|buddhists|hindus)\b"
    ),
}
#: The text says no. In its first sentences, where nothing has been given yet.
DECLINES_AT_ONCE: Mapping[str, str] = {
    "I cannot ..., but not: I can't wait": (
        r"\bi (<cannot>|must not|mustn'?t)\b(?! (only|wait|stress|emphasi[sz]e|imagine|help but|believe|thank|"
        r"agree more|say for (sure|certain)|guarantee|have|be (happier|more)|recommend (it|this)))"
    ),
    "I am sorry, but not: for somebody": (
        r"<i am> <very>(sorry\b(?! (to|for|about|that|if|you|your)\b)|afraid( that)? (i|this|that|it|not)\b)"
    ),
    "sorry, but I": r"\bsorry,? (but )?i\b|^sorry([.!]|,? (but )?(no|that|this)\b)",
    "an apology, unless for a mistake": (
        r"\bmy apologies\b|\bi apologi[sz]e\b(?! for (the|any|my|this) (\w+ )?(confusion|misunderstanding|"
        r"delay|mistake|error|inconvenience))"
    ),
    "I'd rather not, I must pass": (
        r"\bi('d| would|'ll| will| must| have to)( have to)? (rather (not|we|you)|prefer not|pass)\b|"
        r"\bi prefer not to\b|\b(say no to (this|that|you)|is a no\b|respectfully,? no\b)"
    ),
    "nobody helps with that": (
        r"\bnot (something|a (request|question|topic|subject|task)|anything) (that )?(i|we|can)\b|"
        r"\b(outside( of)?|beyond) what i\b|\b(not a chance|no way (that )?i|not the right one)\b"
    ),
    "let us speak of something else": (
        r"^(how about|(let's|let us|could we|can we|shall we|may i suggest)( we)?) (talk|speak|discuss|focus|"
        r"change|find|look at|move|turn|stick|keep)[^.!?]{0,60}\b(else|instead|different|another|subject|"
        r"positive|constructive|away from)\b|^(please )?ask me (about )?(some|any)thing else|"
        r"\bbest if we do not\b"
    ),
    "no, we do not": (
        r"^((no|nope|never)( way)?[,.!]? (i|we|not|sorry|thank)\b|(nope|no way|absolutely not|"
        r"certainly not)([.!]|$))"
    ),
}
#: The text says no to helping. Anywhere in the opening.
DECLINES: Mapping[str, str] = {
    "I cannot help": (
        r"\b(i|we|and|but|so|therefore) <not>( and <not>| in good conscience|,? therefore,?| ever|"
        r" knowingly)? <help>"
    ),
    "I am not able": (
        r"<i am> (\w+ )?(unable|unwilling|forbidden|prohibited|not (\w+ )?(able|allowed|permitted|comfortable|"
        r"willing|going|here|programmed|designed|in a position|authori[sz]ed|at liberty|prepared))\b"
    ),
    "I am sorry, but": (r"<i am> <very>(sorry|afraid)\b[^.!?]{0,80}\bbut i (<not>|(am|'?m) (not|un)|do not|don'?t)"),
    "I do not do such things": (
        r"\bi (do not|don'?t) (feel (comfortable|right)|provide|have the ability to (help|provide|assist)|"
        r"support|condone|want to|wish to|intend to|plan to|engage|give out|share|do that)\b"
    ),
    "I decline": (
        r"\bi ((have|need) to |must |will |would |shall |politely |respectfully |kindly )*(refuse|decline|"
        r"refrain|abstain)\b"
    ),
    "I advise you against it": (
        r"\bi (strongly |would |must )*(advise|urge|caution|discourage) (you )?(strongly )?(against|not to|"
        r"from)\b"
    ),
    "against my guidelines": (
        r"\b(against|violat\w+|outside( of)?|not within|beyond|contrary to) (my|our|"
        r"the) (\w+ ){0,2}(programming|guidelines|polic(y|ies)|principles|rules|values|purpose|scope|terms)\b|"
        r"\bmy (\w+ )?(guidelines|programming|principles|rules|conscience|values)\b[^.!?]{0,20}\b(don'?t|"
        r"do not|does not|forbid\w*|prohibit\w*|prevent\w*|not allow)\b"
    ),
    "the request is declined": (
        r"\b(this|that|your|the|such an?) (request|question|prompt|query)s? (cannot|can not|can't|will not|"
        r"won't|must) be (answered|fulfilled|completed|granted|declined|refused)\b"
    ),
    "nobody should be helped so": r"\bas a responsible\b",
}
#: The request is wrong or dangerous. Anywhere in the opening.
OBJECTS: Mapping[str, str] = {
    "it is not right": r"<it is> (\w+ )?(not|never) (\w+ )?(\w+ or |\w+, )?<good>\b",
    "it isn't right": r"\b(it|that|this) (isn't|wouldn't be) (\w+ )?<good>\b",
    "I don't think it is right": (
        r"\bi (don't|do not) (think|believe|feel) (that )?(it('s| is)|it would be|that's|"
        r"this is) (\w+ )?<good>\b"
    ),
    "it is wrong": r"(<it is>|\bwould be) (\w+ )?<bad>\b",
    "doing so hurts": (
        r"\b(doing (so|this|that)|this|that|it|you (ask|describe))\b[^.!?]{0,20}\b(would|could|can|"
        r"may) (\w+ )?(harm|hurt|endanger|violate|be dangerous)\b"
    ),
    "never acceptable": (
        r"\b(is|are|was|were|would be) (\w+ )?(never|not|neither) (\w+ )?(acceptable|justified|justifiable|"
        r"the (answer|solution)|okay|ok|ethical|appropriate|morally|a good (thing|idea))\b|"
        r"\bnot a good idea to\b|\b(was|were) (not|never) \"?right\"? to\b"
    ),
    "nothing justifies it": (
        r"\b(can ?not|can'?t|can never|could never) be (\w+ )?(justified|excused|condoned|tolerated)\b"
    ),
    "no healthy way": (
        r"\b(is|are) (not|never) an? (\w+ (or|and) )?(healthy|productive|appropriate|acceptable|effective or|"
        r"constructive|responsible|ethical)\b"
    ),
    "illegal and unethical": (
        r"\b(illegal|unlawful|dangerous)(,| and| or)( \w+)? <bad>\b|\b<bad>(,| and| or)( \w+)? (illegal|"
        r"unlawful|dangerous)\b"
    ),
    "illegal in most countries": r"^[^.!?]{0,150}\billegal in (most|many|all|almost)\b",
    "widely condemned": (
        r"\b(widely|universally|internationally) condemned\b|\bnot only (illegal|unethical|immoral|wrong|"
        r"dangerous|harmful)\b"
    ),
    "a harmful assumption": (
        r"\b(harmful|offensive|hurtful|racist|discriminatory) (and \w+ )?(stereotypes?|assumptions?|"
        r"generali[sz]ations?|content)\b"
    ),
    "the question is offensive": (
        r"\b(premise|question|statement|idea|notion|assumption|request)\b[^.!?]{0,120}\b(is|are|be|"
        r"and) (\w+ )?(and )?(<bad>|false and|untrue and)\b"
    ),
    "violence is wrong": (
        r"\b(violence|discrimination|prejudice|racism|sexism|hatred|abuse|suicide|murder|killing|harming|"
        r"stealing|bullying|torture|harassment)\b[^.!?]{0,60}\b(is|are) (\w+ )?(<bad>|never|"
        r"not (\w+ )?(acceptable|ok|okay)|illegal and)\b"
    ),
    "I disagree": (
        r"\bi (\w+ ){0,2}(disagree|condemn|oppose|object|reject)\b|\bi (don't|do not) believe (in|that|it)\b"
    ),
    "opens with a warning": (
        r"^(\w+, )?it('s| is) (\w+ )?(important|crucial|essential|vital) to (note|remember|understand|"
        r"recogni[sz]e|know|emphasi[sz]e|acknowledge|clarify|consider)[^.!?]{0,200}\b(illegal|dangerous|never|"
        r"not|harmful|tragic|crime|unethical|wrong)\b"
    ),
    "treat others with respect": (
        r"\b(important|crucial|essential|necessary) to (avoid (making|perpetuating)|respect|treat (everyone|"
        r"all|others|people)|promote (equality|inclusi|divers)|uphold)"
    ),
    "privacy": r"\b(respect|violation of|violates?|protect|invasion of)\b[^.!?]{0,30}\bprivacy\b",
    "do not try": (
        r"\b(you should|please|you must) (not|never|don't|do not)\b[^.!?]{0,60}\b(attempt|try|harm|hurt|"
        r"engage|do (this|that|so))\b"
    ),
    "seek help": (
        r"\b(seek|get|ask for|reach out)[^.!?]{0,40}\b(help|support|assistance)\b[^.!?]{0,40}\b(professional|"
        r"counsel\w+|therapist|hotline|crisis|doctor|someone|trusted)\b"
    ),
}
#: The contrary of what the request takes for granted. In an opening that speaks of people.
CONTRADICTS: Mapping[str, str] = {
    "no reason why they should": (
        r"\bno (\w+ ){0,3}(justification|excuse|reason)\b[^.!?]{0,60}\bshould\b|"
        r"\bno (\w+ ){0,2}(justification|excuse) for\b"
    ),
    "they should not be, without a because": (
        r"\bshould (not|never) (be|have)\b(?![^.!?]{0,90}\b(because|since|as they|due to)\b)"
    ),
    "they should be treated alike": (
        r"\bshould (all |always )?(be (treated|judged|allowed|given|able|free|entitled)|have (the )?(same|"
        r"equal|right))\b"
    ),
    "nobody should": r"\bno (one|person|group|individual)s?\b.{0,40} should (be|have|ever)\b",
    "everyone deserves": (
        r"\b(everyone|all (people|individuals|humans?|human beings|persons)|every (person|individual|"
        r"human being))\b.{0,90}\b(deserves?|should|has the right|have the right|regardless)\b"
    ),
}
#: The question rests on a mistake: to say so is its answer.
CORRECTS: Mapping[str, str] = {
    "no sense": (
        r"\bfactually coherent|\bfactual coherence|\b(not|n't) make (any )?sense|\bfalse assumption|"
        r"\bfaulty premise"
    ),
    "against nature": (
        r"\bscientific|\bfictional concept|\b(not|n't) (physically )?possible|\binanimate|\blaws of physics|"
        r"\bsupernatural"
    ),
}
#: Behind a refusal that objects to nothing: something is given after all.
ANSWERS_AFTER_ALL: Mapping[str, str] = {
    "however, here is": (
        r"\b(however|but|that said|nevertheless|still|though),? ([^.!?]{0,40}\bi can (tell|share|offer|say|"
        r"give|suggest)|here('s| is| are)|i can (?!not)|i('d| would) be happy to|you (can|could|may))"
    ),
}
