from app.base.problems import Kind, Problem


class AgreementNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_not_found"
    title = "There is no such agreement for this end user, or none of its versions is published."


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
    title = "There is no such text, or it is not published."


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


class AgreementRegionUnknown(Problem):
    kind = Kind.INVALID
    code = "agreement_region_unknown"
    title = "A region is 001 (the world), a country, one of its subdivisions, or a group that the configuration names."


class AgreementMinorsImpossible(Problem):
    kind = Kind.INVALID
    code = "agreement_minors_impossible"
    title = "Nobody accepts a notice, so there is nothing that a minor could be kept from."


class AgreementDefaultLocaleFixed(Problem):
    kind = Kind.CONFLICT
    code = "agreement_default_locale_fixed"
    title = "The default language is fixed once a version is published."


class AgreementRequiredTextMissing(Problem):
    kind = Kind.CONFLICT
    code = "agreement_required_text_missing"
    title = "A language that the agreement requires has no text."


class AgreementVersionCancelled(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_cancelled"
    title = "The version was cancelled before it took effect, and stays so; nothing was stored."


class AgreementVersionNotScheduled(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_not_scheduled"
    title = "Only a version that is published and not yet in effect can be cancelled; publish a successor."


class AgreementVersionDecided(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_decided"
    title = "Somebody has decided on the version already; publish a successor."


class AgreementVersionFirst(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_first"
    title = "No published version comes before this one; name one in `against`."


class PresentationNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "presentation_not_found"
    title = "There is no such presentation."


class PresentationExpired(Problem):
    kind = Kind.CONFLICT
    code = "presentation_expired"
    title = "The presentation has expired; show the text again."


class PresentationElsewhere(Problem):
    kind = Kind.CONFLICT
    code = "presentation_elsewhere"
    title = "The text was shown in another session; show it in this one."


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


class FormatNotAvailable(Problem):
    kind = Kind.CONFLICT
    code = "format_not_available"
    title = "The text is not kept in this format; ask for Markdown."


class NotDecidable(Problem):
    kind = Kind.CONFLICT
    code = "not_decidable"
    title = "A notice is only shown; there is nothing to accept or to decline."


class NotWithdrawable(Problem):
    kind = Kind.CONFLICT
    code = "not_withdrawable"
    title = "A notice was never agreed to, so that nothing can be withdrawn."


class NothingToWithdraw(Problem):
    kind = Kind.CONFLICT
    code = "nothing_to_withdraw"
    title = "The agreement is not accepted."


class RequiredLocaleNotPresented(Problem):
    kind = Kind.CONFLICT
    code = "required_locale_not_presented"
    title = "The agreement must first be shown in a language that the law of its region demands."


class GuardianRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "guardian_required"
    title = "A minor cannot accept this agreement without a guardian."


class MinorsDenied(Problem):
    kind = Kind.FORBIDDEN
    code = "minors_denied"
    title = "This agreement is not offered to minors."


class ReceiptNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "receipt_not_found"
    title = "There is no such receipt."


class AgreementIsNotice(Problem):
    kind = Kind.CONFLICT
    code = "agreement_is_notice"
    title = "A notice is shown and never accepted; nothing can be imported to it."


class ImportInFuture(Problem):
    kind = Kind.INVALID
    code = "import_in_future"
    title = "An acceptance that is brought here was given in the past."


class ImportBeforeEffect(Problem):
    kind = Kind.INVALID
    code = "import_before_effect"
    title = "The version has not taken effect; what was accepted elsewhere is one that is in force here."


class ImportBeforeWithdrawal(Problem):
    kind = Kind.CONFLICT
    code = "import_before_withdrawal"
    title = "The end user has withdrawn since; only an acceptance given later counts."


class ImportConflict(Problem):
    kind = Kind.CONFLICT
    code = "import_conflict"
    title = "This external_ref was brought before, with another content."


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
