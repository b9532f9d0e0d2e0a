from app.base.problems import Kind, Problem


class AgreementNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_not_found"
    title = "There is no such agreement, or none of its versions is published."


class AgreementExists(Problem):
    kind = Kind.CONFLICT
    code = "agreement_exists"
    title = "The product has an agreement of this kind for this region; give it another version."


class AgreementVersionNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_version_not_found"
    title = "There is no such version of an agreement."


class AgreementVersionPublished(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_published"
    title = "The version is published already, and frozen since."


class AgreementTextNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_text_not_found"
    title = "There is no such published text."


class AgreementTextFrozen(Problem):
    kind = Kind.CONFLICT
    code = "agreement_text_frozen"
    title = "A published text never changes; publish a new version."


class AgreementFirstNotMaterial(Problem):
    kind = Kind.CONFLICT
    code = "agreement_first_not_material"
    title = "The first version of an agreement must be material: nobody has accepted anything yet."


class AgreementDefaultTextMissing(Problem):
    kind = Kind.CONFLICT
    code = "agreement_default_text_missing"
    title = "The version has no text in the agreement's default language."


class AgreementChangesMissing(Problem):
    kind = Kind.CONFLICT
    code = "agreement_changes_missing"
    title = "A material version must tell in every language what changed."


class AgreementAlreadyScheduled(Problem):
    kind = Kind.CONFLICT
    code = "agreement_already_scheduled"
    title = "Another version is published and not yet in effect."


class AgreementDatesImpossible(Problem):
    kind = Kind.INVALID
    code = "agreement_dates_impossible"
    title = "The version would take effect in the past, or its grace would end before it begins."


class PresentationNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "presentation_not_found"
    title = "There is no such presentation."


class PresentationExpired(Problem):
    kind = Kind.CONFLICT
    code = "presentation_expired"
    title = "The presentation has expired; show the text again."


class TextMismatch(Problem):
    kind = Kind.CONFLICT
    code = "text_mismatch"
    title = "The hash is not that of the text which was presented; nothing was stored."


class AlreadyDecided(Problem):
    kind = Kind.CONFLICT
    code = "already_decided"
    title = "The presentation was decided before; show the text again."


class AcceptCurrentFirst(Problem):
    kind = Kind.CONFLICT
    code = "accept_current_first"
    title = "The agreement in force must be accepted before the coming one."


class ReceiptNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "receipt_not_found"
    title = "There is no such receipt."


class AgreementEventNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_event_not_found"
    title = "There is no such event in the ledger."


class NotSealedYet(Problem):
    kind = Kind.CONFLICT
    code = "not_sealed_yet"
    title = "No seal holds the event yet; the next one will."


class SealBroken(Problem):
    kind = Kind.CONFLICT
    code = "seal_broken"
    title = "What the seal was made over is not there any more as it was; have the ledger verified."


class LegalHold(Problem):
    kind = Kind.CONFLICT
    code = "legal_hold"
    title = "The end user's evidence is under legal hold; nothing of it may be erased."
