from app.base.problems import Kind, Problem


class AgreementNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_not_found"
    title = "The agreement does not exist for this end user, or no version of it is published."


class AgreementExists(Problem):
    kind = Kind.CONFLICT
    code = "agreement_exists"
    title = "The product already has an agreement of this kind for this region; add a version to that agreement."


class AgreementVersionNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_version_not_found"
    title = "The agreement version does not exist."


class AgreementVersionPublished(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_published"
    title = "The version is already published and can no longer change."


class AgreementTextNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_text_not_found"
    title = "The text does not exist or is not published."


class AgreementTextFrozen(Problem):
    kind = Kind.CONFLICT
    code = "agreement_text_frozen"
    title = "A published text never changes; publish a new version."


class AgreementFirstNotMaterial(Problem):
    kind = Kind.CONFLICT
    code = "agreement_first_not_material"
    title = "The first version of an agreement must have the class `material`."


class AgreementDefaultTextMissing(Problem):
    kind = Kind.CONFLICT
    code = "agreement_default_text_missing"
    title = "The version has no text in the agreement's default language."


class AgreementChangesMissing(Problem):
    kind = Kind.CONFLICT
    code = "agreement_changes_missing"
    title = "A material version needs `changes` (a summary of changes) in every language."


class AgreementAlreadyScheduled(Problem):
    kind = Kind.CONFLICT
    code = "agreement_already_scheduled"
    title = "Another version is already scheduled; cancel it, or wait until it takes effect."


class AgreementDatesImpossible(Problem):
    kind = Kind.INVALID
    code = "agreement_dates_impossible"
    title = "The version would take effect in the past, or its grace period would end before it starts."


class AgreementRegionUnknown(Problem):
    kind = Kind.INVALID
    code = "agreement_region_unknown"
    title = "The region must be 001 (world), a country (CA), a subdivision (CA-QC) or a configured group (EU)."


class AgreementMinorsImpossible(Problem):
    kind = Kind.INVALID
    code = "agreement_minors_impossible"
    title = "A notice is never accepted, so acceptance by minors cannot be restricted."


class AgreementDefaultLocaleFixed(Problem):
    kind = Kind.CONFLICT
    code = "agreement_default_locale_fixed"
    title = "The default language cannot change after a version is published."


class AgreementRequiredTextMissing(Problem):
    kind = Kind.CONFLICT
    code = "agreement_required_text_missing"
    title = "The version has no text in a language that the agreement requires."


class AgreementVersionCancelled(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_cancelled"
    title = "The version was cancelled before it took effect; nothing was stored."


class AgreementVersionNotScheduled(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_not_scheduled"
    title = "Only a published version that is not yet in effect can be cancelled; publish a new version instead."


class AgreementVersionDecided(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_decided"
    title = "An end user has already decided on the version; publish a new version instead."


class AgreementVersionFirst(Problem):
    kind = Kind.CONFLICT
    code = "agreement_version_first"
    title = "There is no earlier published version to compare with; choose one with `against`."


class PresentationNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "presentation_not_found"
    title = "The presentation does not exist."


class PresentationExpired(Problem):
    kind = Kind.CONFLICT
    code = "presentation_expired"
    title = "The presentation has expired; present the text again."


class PresentationElsewhere(Problem):
    kind = Kind.CONFLICT
    code = "presentation_elsewhere"
    title = "The text was presented in another session; present it in this session first."


class TextMismatch(Problem):
    kind = Kind.CONFLICT
    code = "text_mismatch"
    title = "`text_sha256` does not match the presented text; nothing was stored."


class AlreadyDecided(Problem):
    kind = Kind.CONFLICT
    code = "already_decided"
    title = "This presentation already has a decision; present the text again to make another one."


class AcceptCurrentFirst(Problem):
    kind = Kind.CONFLICT
    code = "accept_current_first"
    title = "The agreement in force must be accepted before the upcoming one."


class FormatNotAvailable(Problem):
    kind = Kind.CONFLICT
    code = "format_not_available"
    title = "The text is not stored in this format; request Markdown."


class NotDecidable(Problem):
    kind = Kind.CONFLICT
    code = "not_decidable"
    title = "A notice is only shown; it cannot be accepted or declined."


class NotWithdrawable(Problem):
    kind = Kind.CONFLICT
    code = "not_withdrawable"
    title = "A notice is never accepted, so there is nothing to withdraw."


class NothingToWithdraw(Problem):
    kind = Kind.CONFLICT
    code = "nothing_to_withdraw"
    title = "The agreement is not accepted, so there is nothing to withdraw."


class RequiredLocaleNotPresented(Problem):
    kind = Kind.CONFLICT
    code = "required_locale_not_presented"
    title = "The agreement must first be presented in a language that its region requires."


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
    title = "The receipt does not exist."


class AgreementIsNotice(Problem):
    kind = Kind.CONFLICT
    code = "agreement_is_notice"
    title = "A notice is never accepted, so acceptances of it cannot be imported."


class ImportInFuture(Problem):
    kind = Kind.INVALID
    code = "import_in_future"
    title = "`accepted_at` must be in the past."


class ImportBeforeEffect(Problem):
    kind = Kind.INVALID
    code = "import_before_effect"
    title = "The version is not in effect yet; import acceptances of a version in force."


class ImportBeforeWithdrawal(Problem):
    kind = Kind.CONFLICT
    code = "import_before_withdrawal"
    title = "The end user withdrew after this acceptance; only a later one counts."


class ImportConflict(Problem):
    kind = Kind.CONFLICT
    code = "import_conflict"
    title = "This `external_ref` was already imported with different content."


class AgreementEventNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "agreement_event_not_found"
    title = "The event does not exist in the ledger."


class NotSealedYet(Problem):
    kind = Kind.CONFLICT
    code = "not_sealed_yet"
    title = "The event is not sealed yet; the next seal will include it."


class LedgerSealBroken(Problem):
    kind = Kind.CONFLICT
    code = "seal_broken"
    title = "The sealed events are missing or changed; run the ledger verification."


class LegalHold(Problem):
    kind = Kind.CONFLICT
    code = "legal_hold"
    title = "The end user's evidence is under legal hold; release the hold before erasing."
