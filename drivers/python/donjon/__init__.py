# SPDX-License-Identifier: Apache-2.0
"""An oslo.config driver: a service's secrets from the Donjon broker."""
