"""What a crash means: bugcheck arguments, the failing context, whom to blame, the failure bucket."""
