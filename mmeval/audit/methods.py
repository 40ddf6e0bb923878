"""Methods of an audit with their thresholds and error rates, as its page states them."""

from __future__ import annotations

from mmeval.audit import embedded, hashes, languages, minhash

METHODS = {
    "exact duplicate images": "equal digest of the image as the Store has it",
    "near-duplicate images": f"64-bit perceptual hashes that differ in at most {hashes.MOST_BITS} bits; thumbnails of "
    f"{hashes.THUMBNAIL_SIDE} x {hashes.THUMBNAIL_SIDE} RGB pixels with a correlation of at least "
    f"{hashes.LEAST_CORRELATION} and no value that differs by more than {hashes.MOST_RESIDUE:.0f} of 255 levels. Of "
    "changed copies of 1,906 drawings it finds all that were re-encoded, made smaller or darker, 87 % of those made "
    "15 % brighter (clipped), 53 % of those cropped by 1 % at each edge, and no mirrored ones; 1 in 63,000 pairs of "
    "different drawings is taken for a duplicate",
    "embeddings": f"cosine similarity of at least {embedded.LEAST_COSINE}: also finds cropped (99 %) and mirrored "
    "copies (64 %); 1 in 11,000 pairs of different drawings reaches it",
    "exact duplicate texts": "equal after NFKC, ignoring case, punctuation (except # % & * @ §) and repeated spaces",
    "near-duplicate texts": f"Jaccard index of character {minhash.GRAM}-grams of at least {minhash.LEAST_JACCARD}, for "
    f"texts of at least {minhash.LEAST_LENGTH} characters: about one letter in forty differs. The MinHash search "
    "finds 98 % of the pairs at the threshold and 99.9 % of those above 0.85; each pair is confirmed",
    "class name in the text": "the longest class name whose words are in the text, ignoring case, with - and _ as "
    "spaces; an example without one counts as wrong",
    "another language": f"py3langid, with the data set's languages and {len(languages.WIDELY_USED)} widely used ones "
    f"as candidates, for texts of at least {languages.LEAST_LETTERS} letters, at a probability of at least "
    f"{languages.LEAST_CONFIDENCE}. Fewer than 1 in 1,000 texts are reported wrongly (Turkish 2, Japanese 5); half to "
    "three quarters of the texts in another language are found, fewer between close relatives: a lower bound",
    "distance of class distributions": "total variation: the share of examples that would have to change class; by "
    "chance: its expectation if only the sampling of images (or products) made the difference",
    "multi-label tasks": "where the labels of duplicates are compared, a set of classes is one label; the class name "
    "in the text and the class distribution are not computed, because an example has no single class",
}
"""Description of each method by its name."""
