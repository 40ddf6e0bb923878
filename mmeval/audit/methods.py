"""How an audit measures, with its thresholds and how often they are wrong, for its page."""

from __future__ import annotations

from mmeval.audit import embedded, hashes, minhash
from mmeval.audit import languages as spoken

HOW = {
    "same image": "equal digest of the image as the Store has it",
    "near image": f"64-bit perceptual hash differs in at most {hashes.MOST_BITS} bits; correlation of "
    f"{hashes.SMALL} x {hashes.SMALL} RGB pixels at least {hashes.LEAST_CORRELATION}, none of them off by more than "
    f"{hashes.MOST_RESIDUE:.0f} levels. Of 1,906 drawings changed and held against themselves it finds all that were "
    "encoded again, made smaller or darker, 87 % of those made 15 % brighter (clipped), 53 % with 1 % cut off at each "
    "edge, no mirrored ones; 1 in 63,000 pairs of different drawings is taken for a duplicate",
    "embeddings": f"cosine of at least {embedded.LEAST_COSINE}: finds cropped (99 %) and mirrored copies (64 %) too; 1 "
    "in 11,000 pairs of different drawings is above it",
    "same text": "equal after NFKC, without case, punctuation (but # % & * @ §) and repeated spaces",
    "near text": f"Jaccard index of character {minhash.GRAM}-grams of at least {minhash.LEAST_JACCARD}, of texts of "
    f"{minhash.LEAST_LENGTH} characters and more: about one letter in forty. The search finds 98 % of the pairs at the "
    "threshold, 99.9 % of those above .85; each was confirmed",
    "class name": "the longest class name whose words stand in the text, without case, - and _ as spaces; where none "
    "stands there it counts as wrong",
    "another language": f"py3langid, among the data set's languages and {len(spoken.WIDELY)} widely used ones, at "
    f"least {spoken.LEAST_LETTERS} letters and a probability of {spoken.LEAST_CONFIDENCE}. Fewer than 1 in 1,000 texts "
    "is accused wrongly (Turkish 2, Japanese 5); a half to three quarters of those in another language are found, "
    "fewer between close relatives: a lower bound",
    "distance of mixes": "total variation: the share of examples that would have to change class; by chance: what it "
    "would be in the mean if only the draw of images (products) made the difference",
}
"""What it is by what it is called."""
